"""Says when the turn of waiting jobs comes, and keeps that up to date in their status files."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from daemon.jobs.record import Job, Line
from daemon.jobs.stages import STAGES
from daemon.outbox.backlog import Backlog
from daemon.outbox.estimates.line_work import LineWork
from daemon.outbox.lane_work import LaneWork
from daemon.outbox.status_file import StatusWriter, Turn
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.queue.spool import Spool

#: So many jobs of each stage have their place kept up to date, and so many of the others are brought up to date at a time.
FRONT, OTHERS = 20, 40
#: Time between two rounds, s; where all are ordered slowly, ordering takes at most this part of the time.
ROUND_S, SHARE = 5.0, 0.01
#: The work of all lines is counted again after so many seconds.
COUNT_S = 1.0
#: A status is written again where the expected wait has changed by this part of it, and by more than so many seconds.
CHANGE, CHANGE_S = 0.1, 5.0


class Turns:
    """Orders the waiting jobs.

    Args:
        backlog: counts the work of all jobs.
    """

    def __init__(self, ready_queue: ReadyQueue, backlog: Backlog) -> None:
        self._ready_queue = ready_queue
        self._backlog = backlog
        #: By job id, as of the last round.
        self._known: dict[str, tuple[Ticket, int, LaneWork]] = {}
        #: The work of all lines, and when it was counted, monotonic, in s.
        self._lines, self._counted_at = LineWork({}), -math.inf

    def of(self, job: Job) -> Turn:
        """Return the turn of a queued job: as of the last round, or that of the last one in the queue."""
        assert job.stage is not None
        known = self._known.get(job.id)
        if known is not None and known[0].stage == job.stage:
            return Turn(known[1], self._backlog.wait_s(job, known[2]))
        mine = self._backlog.work_of(job.id)
        own = self._backlog.lines.get(job.line, LaneWork()).plus(mine, -1.0)
        ahead = own.plus(self._beside(job.line, own.plus(mine)))
        waiting = self._ready_queue.count(job.stage) + (job.id not in self._ready_queue)
        return Turn(waiting, self._backlog.wait_s(job, ahead))

    def batch_s(self, job: Job) -> float | None:
        """Return in how many seconds a running batch is expected to have ended; None where no job of it waits or runs."""
        counts, line = job.facts.batch, (job.by, job.id)
        if counts is None or not (jobs := self._backlog.jobs[line]):
            return None
        work = self._backlog.lines[line]
        # Rows of which no job is made yet are taken to be as the others.
        work = work.times((jobs + counts.rows - counts.taken) / jobs)
        return self._backlog.time_s(work.plus(self._beside(line, work)))

    def _beside(self, line: Line, own: LaneWork) -> LaneWork:
        """Return the work of other lines that is done while one line is given `own`."""
        if (now := time.monotonic()) - self._counted_at > COUNT_S:
            self._lines, self._counted_at = LineWork(self._backlog.lines), now
        return self._lines.beside(line, own)

    def order(self) -> list[Ticket]:
        """Order all waiting jobs anew; returns them, those of later stages first, as they go before the others."""
        self._known = {ticket.id: (ticket, place, ahead) for ticket, place, ahead in self._ordered()}
        return [ticket for ticket, _, _ in self._known.values()]

    def place(self, ticket: Ticket) -> int:
        """Return the place of a job in its queue as of the last round; 1 is next."""
        return self._known[ticket.id][1]

    def _ordered(self) -> Iterator[tuple[Ticket, int, LaneWork]]:
        """Yield the waiting jobs, each with its place in its queue and the work that goes before it, by the rules of the policy:
        higher priorities first, then each line as much as every other, and of one line the job that is furthest.
        """
        queues = [self._ready_queue.front(stage, self._ready_queue.count(stage)) for stage in reversed(STAGES)]
        placed = [(ticket, place) for queue in queues for place, ticket in enumerate(queue, start=1)]
        above = self._backlog.running()
        for priority in sorted({ticket.priority for ticket, _ in placed}, reverse=True):
            group = [one for one in placed if one[0].priority == priority]
            own: dict[Line, LaneWork] = defaultdict(LaneWork)
            for ticket, _ in group:
                own[ticket.line] = own[ticket.line].plus(self._backlog.work_of(ticket.id))
            lines = LineWork(own)
            own = defaultdict(LaneWork)
            for ticket, place in group:
                before = own[ticket.line]
                own[ticket.line] = before.plus(self._backlog.work_of(ticket.id))
                yield ticket, place, above.plus(before).plus(lines.beside(ticket.line, own[ticket.line]))
            for work in own.values():
                above = above.plus(work)


async def keep_turns(turns: Turns, spool: Spool, status: StatusWriter) -> None:
    """Update place and expected end in the status files of waiting jobs, until cancelled: of the first ones of each stage in each
    round, of the others one after the other.
    """
    written: dict[str, Turn] = {}
    others: Iterator[Ticket] = iter(())
    while True:
        began = time.monotonic()
        tickets = turns.order()
        pause_s = max(ROUND_S, (time.monotonic() - began) / SHARE)
        here = {ticket.id for ticket in tickets}
        written = {job_id: turn for job_id, turn in written.items() if job_id in here}
        due = [ticket for ticket in tickets if turns.place(ticket) <= FRONT]
        if not (more := list(islice(others, OTHERS))):
            others = iter([ticket for ticket in tickets if turns.place(ticket) > FRONT])
            more = list(islice(others, OTHERS))
        for ticket in [*due, *(ticket for ticket in more if ticket.id in here)]:
            with contextlib.suppress(ValueError, OSError):  # the job moved on meanwhile
                job = spool.load_job(spool.ready(ticket.stage) / ticket.id)
                turn = turns.of(job)
                if _differs(turn, written.get(ticket.id)):
                    status.queue_position(job, turn)
                    written[ticket.id] = turn
            await asyncio.sleep(0)
        await asyncio.sleep(pause_s)


def _differs(turn: Turn, before: Turn | None) -> bool:
    if before is None or turn.position != before.position:
        return True
    return abs(turn.wait_s - before.wait_s) > max(CHANGE_S, CHANGE * before.wait_s)
