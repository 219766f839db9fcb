"""The place in the queue, kept fresh in the status of the jobs near its head."""

from __future__ import annotations

import asyncio
import contextlib

from daemon.outbox.status_file import StatusWriter
from daemon.queue.ready_queue import Board, Ticket
from daemon.queue.spool import Spool
from daemon.workers.policy import CPU_STAGES, GPU_STAGES

#: How many jobs of each queue, and how often, in s.
COUNT, EVERY_S = 20, 5.0


async def keep_positions(board: Board, spool: Spool, status: StatusWriter) -> None:
    """Write what has changed since the last look, for ever."""
    known: dict[Ticket, int] = {}
    while True:
        fresh: dict[Ticket, int] = {}
        for stage in (*GPU_STAGES, *CPU_STAGES):
            for place, ticket in enumerate(board.front(stage, COUNT), start=1):
                fresh[ticket] = place
                if known.get(ticket) != place:
                    with contextlib.suppress(ValueError, OSError):  # it moves on while we look
                        job = spool.load(spool.ready(stage) / ticket.id)
                        status.queue_position(job, place)
        known = fresh
        await asyncio.sleep(EVERY_S)
