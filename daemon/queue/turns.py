"""Says when the turn of waiting jobs comes, and keeps that up to date in their status files."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import islice
from typing import NamedTuple

from daemon.jobs.record import Job, Line
from daemon.jobs.stages import STAGES, Stage
from daemon.outbox.backlog import Backlog
from daemon.outbox.estimates.line_work import LineWork, WaitingWork
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


class Known(NamedTuple):
    """What a round found of a job that waits, or whose stage runs.

    Attributes:
        stage: in whose queue it waits, or which runs.
        place: in its queue; 1 is next; None where its stage runs.
        ahead: the work that goes before its own.
    """

    stage: Stage
    place: int | None
    ahead: LaneWork


class _Placed(NamedTuple):
    """A job in the order in which those of one priority and line go on. `own`: its work that waits; `now`: that which runs."""

    id: str
    line: Line
    priority: int
    stage: Stage
    place: int | None
    own: LaneWork
    now: LaneWork = LaneWork()


class Turns:
    """Orders the waiting jobs, and those whose stage runs, as they wait again for the next one.

    Args:
        backlog: counts the work of all jobs.
        clock: monotonic, in s.
    """

    def __init__(self, ready_queue: ReadyQueue, backlog: Backlog, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready_queue = ready_queue
        self._backlog = backlog
        #: By job id, as of the last round, and when that was, monotonic, in s.
        self._known: dict[str, Known] = {}
        self._ordered_at = -math.inf
        #: The work of all lines, and when that was counted, monotonic, in s.
        self._waiting, self._counted_at = WaitingWork({}), -math.inf

    def of(self, job: Job, behind: int = 0) -> Turn:
        """Return the turn of a job that waits, or whose stage runs: as of the last round, less the time since then, or that of
        the last one in the queue.

        Args:
            behind: so many jobs like it, which are in no queue yet either, go before it.
        """
        assert job.stage is not None
        waiting = self._ready_queue.count(job.stage) + (job.id not in self._ready_queue) + behind
        place = None if job.state == "running" else waiting
        if (known := self._known.get(job.id)) is not None:
            if known.stage == job.stage and place is not None:
                place = known.place or place
            wait_s = self._backlog.wait_s(job, known.ahead)
            return Turn(place, max(0.0, wait_s - (self._clock() - self._ordered_at)))
        if job.state == "running":  # it has just come, and waited for nobody
            return Turn(None, 0.0)
        mine = self._backlog.work_of(job.id)
        own = self._backlog.lines.get(job.priority, {}).get(job.line, LaneWork()).plus(mine, -1.0)
        mine = self._backlog.left_of(job)
        own = own.plus(mine.times(behind))
        ahead = own.plus(self._ahead(job.priority, job.line, own.plus(mine)))
        return Turn(place, self._backlog.wait_s(job, ahead))

    def batch_s(self, job: Job) -> float | None:
        """Return in how many seconds a running batch is expected to have ended; None where no job of it waits or runs."""
        counts, line = job.facts.batch, (job.by, job.id)
        work = {priority: lines[line] for priority, lines in self._backlog.lines.items() if line in lines}
        if counts is None or not work:
            return None
        last = min(work)  # its rows of this priority end last
        jobs = sum(self._backlog.jobs[priority, line] for priority in work)
        # Rows of which no job is made yet are taken to be as the others.
        more = reduce(LaneWork.plus, work.values()).times((counts.rows - counts.made) / jobs)
        own = work[last].plus(more)
        return self._backlog.time_s(own.plus(self._ahead(last, line, own)))

    def _ahead(self, priority: int, line: Line, own: LaneWork) -> LaneWork:
        """Return what goes before the end of a line's `own` work of a priority, as `WaitingWork.ahead` does."""
        if (now := self._clock()) - self._counted_at > COUNT_S:
            self._waiting, self._counted_at = WaitingWork(self._backlog.lines), now
        return self._waiting.ahead(priority, line, own)

    def order(self) -> list[Ticket]:
        """Order all jobs anew; returns those that wait, those of later stages first, as they go before the others."""
        tickets = {
            ticket.id: ticket
            for stage in STAGES
            for ticket in self._ready_queue.front(stage, self._ready_queue.count(stage))
        }
        self._ordered_at = self._clock()
        self._known = dict(self._ordered(tickets))
        return [tickets[job_id] for job_id in self._known if job_id in tickets]

    def place(self, ticket: Ticket) -> int:
        """Return the place of a job in its queue as of the last round; 1 is next."""
        return self._known[ticket.id].place or 1

    def _ordered(self, tickets: Mapping[str, Ticket]) -> Iterator[tuple[str, Known]]:
        """Yield the jobs with what is known of them, by the rules of the policy: higher priorities first, then each line as much
        as every other, and of one line the job that is furthest. What runs now goes before all.
        """
        placed = self._placed(tickets)
        above = LaneWork()
        for one in placed:
            above = above.plus(one.now)
        for priority in sorted({one.priority for one in placed}, reverse=True):
            group = [one for one in placed if one.priority == priority]
            own: dict[Line, LaneWork] = defaultdict(LaneWork)
            for one in group:
                own[one.line] = own[one.line].plus(one.own)
            lines = LineWork(own)
            own = defaultdict(LaneWork)
            for one in group:
                before = own[one.line]
                own[one.line] = before.plus(one.own)
                ahead = above.plus(one.now, -1.0).plus(before).plus(lines.beside(one.line, own[one.line]))
                yield one.id, Known(one.stage, one.place, ahead)
            for work in own.values():
                above = above.plus(work)

    def _placed(self, tickets: Mapping[str, Ticket]) -> list[_Placed]:
        """Return the jobs, those of later stages first; a job whose stage runs comes behind those that wait for the next one."""
        queues: dict[Stage, list[_Placed]] = {stage: [] for stage in reversed(STAGES)}
        for run in self._backlog.running():
            queues[run.stage].append(_Placed(run.id, run.line, run.priority, run.stage, None, run.later, run.now))
        places: Counter[Stage] = Counter()
        for one in tickets.values():
            places[one.stage] += 1
            work = self._backlog.work_of(one.id)
            queues[one.stage].append(_Placed(one.id, one.line, one.priority, one.stage, places[one.stage], work))
        return [one for queue in queues.values() for one in queue]


async def keep_turns(turns: Turns, spool: Spool, status: StatusWriter, batches: Callable[[], Iterable[Job]]) -> None:
    """Update place and expected end in the status files of waiting jobs, until cancelled: of the first ones of each stage in each
    round, of the others one after the other. Those of batches are updated in each round, also where none of their rows ends.

    Args:
        batches: returns the records of those that run.
    """
    written: dict[str, Turn] = {}
    others: Iterator[Ticket] = iter(())
    while True:
        began = time.monotonic()
        tickets = turns.order()
        pause_s = max(ROUND_S, (time.monotonic() - began) / SHARE)
        running = list(batches())
        here = {*(ticket.id for ticket in tickets), *(job.id for job in running)}
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
        for job in running:
            turn = Turn(None, turns.batch_s(job) or 0.0)
            if job.state == "running" and _differs(turn, written.get(job.id)):
                status.queue_position(job, turn)
                written[job.id] = turn
        await asyncio.sleep(pause_s)


def _differs(turn: Turn, before: Turn | None) -> bool:
    if before is None or turn.position != before.position:
        return True
    return abs(turn.wait_s - before.wait_s) > max(CHANGE_S, CHANGE * before.wait_s)
