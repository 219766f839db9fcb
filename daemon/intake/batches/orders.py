"""Carries out on the rows of a batch what people ask for all of them: to hold, release or cancel them, or another priority.

Thousands of rows take minutes, in which other requests must be heard and no row may start that is about to be held. So this is
done in turns, and the batch's record says what is left to do, also after a restart.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from daemon.errors import AvatarError, JobError
from daemon.intake.batches.running_batch import RunningBatch
from daemon.intake.fair_queue import TURN_S
from daemon.queue.state_machine import StateMachine

log = structlog.get_logger()


class RowOrders:
    """Carries out orders for whole batches.

    Args:
        run: runs a request on a row's job.
    """

    def __init__(self, state_machine: StateMachine, run: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._state_machine = state_machine
        self._run = run

    async def give(self, batch: RunningBatch, order: dict[str, Any]) -> tuple[int, int]:
        """Save a batch whose record was changed with a new order for its rows, and begin with it.

        Returns:
            How many rows took it, and how many are left.
        """
        orders = batch.counts.orders
        orders.append(order)
        await self._state_machine.save(batch.job, batch.place)
        took = await self.carry_out(batch)
        return took, len(batch.unordered or ()) if order in orders else 0

    async def carry_out(self, batch: RunningBatch) -> int:
        """Carry out the orders for the rows of a batch, the oldest first, for a turn's time. Returns how many rows took one."""
        until, took = time.monotonic() + TURN_S, 0
        async with batch.ordering:
            while batch.counts.orders and batch.rows is not None:  # else its next step goes on, when it has read them
                order = batch.counts.orders[0]
                if batch.unordered is None:
                    batch.unordered = self._rows(batch, order)
                while batch.unordered:
                    if time.monotonic() >= until:
                        return took
                    took += await self._take(batch.unordered[-1], order)
                    if batch.unordered:  # it was not cancelled meanwhile
                        batch.unordered.pop()
                batch.unordered = None
                if order in batch.counts.orders:
                    batch.counts.orders.remove(order)
                await self._state_machine.save(batch.job, batch.place)
        return took

    async def cancel(self, batch: RunningBatch, by: str) -> bool:
        """Cancel the jobs of the rows that have not ended, for a turn's time. Returns whether none is left.

        Args:
            by: who cancels them; empty where `on_error` does, by which those that run may end.
        """
        unfinished = batch.unfinished(self._state_machine.spool)
        for job_id in unfinished:
            self._state_machine.ready_queue.remove(job_id)  # none of them starts while the others are cancelled
        until = time.monotonic() + TURN_S
        for job_id in unfinished:
            if time.monotonic() >= until:
                return False
            if by or job_id not in self._state_machine.running:
                try:
                    await self._run({"op": "cancel", "job": job_id, "by": by or "`on_error` of the batch"})
                except AvatarError as exc:  # it ended meanwhile, or goes on to be cancelled
                    log.info("row not cancelled", job_id=job_id, why=exc.message)
        return True

    def _rows(self, batch: RunningBatch, order: dict[str, Any]) -> list[str]:
        """Return the jobs of the rows that have not ended; those that run come last, since the end is taken first."""
        jobs = batch.unfinished(self._state_machine.spool)
        if order["op"] == "hold":
            for job_id in jobs:
                self._state_machine.ready_queue.remove(job_id)  # none of them starts while the others are held
        return sorted(jobs, key=self._state_machine.running.__contains__)

    async def _take(self, job_id: str, order: dict[str, Any]) -> bool:
        try:
            await self._run({**order, "job": job_id})
        except JobError:  # such as one that is not held, or has ended meanwhile
            return False
        return True
