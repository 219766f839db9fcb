"""Indexes the queued jobs in memory, one small ticket each, so that taking a job costs the same however many wait.

The spool on disk is authoritative. A job's record is read from disk when the job is taken. Times are the monotonic clock's.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daemon.jobs.record import Job, Line
from daemon.jobs.stages import BY_NAME, STAGES, LaneName, Stage
from daemon.outbox.estimator import Work
from daemon.queue.fair_share import FairShare
from daemon.queue.line_clocks import LineClocks
from daemon.queue.steady_clock import SteadyClock


@dataclass(frozen=True, slots=True)
class Ticket:
    """One queued job. Order: priority (higher first), then whose turn it is (`FairShare`), then acceptance time, then id. Times
    are monotonic, in s.

    Attributes:
        accepted: when the job was accepted.
        since: when the job entered this queue.
        not_before: when its delay ends; 0 for none.
        lane: the lane in which it waits.
        line: who handed it in, and the folder of the inbox that it came from.
        cost_s: seconds of work that its stage is expected to take.
        portable: whether another machine can run its stage.
    """

    id: str
    stage: Stage
    priority: int
    accepted: float
    since: float
    not_before: float
    lane: LaneName
    line: Line = ("", "")
    cost_s: float = 1.0
    portable: bool = True

    @property
    def rank(self) -> tuple[float, str]:
        """Sort key in its line; the smallest is next."""
        return (self.accepted, self.id)


#: By priority.
_Shares = dict[int, FairShare[Ticket]]


def first_lane(job: Job) -> LaneName:
    """Return the first lane of a job's stage."""
    return BY_NAME[str(job.stage)].lanes[0]


class ReadyQueue:
    """Priority queues of tickets, one for each lane of each stage. Removed tickets stay in the heaps and are skipped at the top.

    Args:
        lane_of: chooses the lane in which a job waits for its stage.
        is_portable: tells whether another machine can run a job's stage.
        longest_delay_s: returns the longest delay in s; it bounds delays in records, since the system clock may have been set.
    """

    def __init__(
        self,
        clock: SteadyClock | None = None,
        longest_delay_s: Callable[[], float] = lambda: 3600.0,
        lane_of: Callable[[Job], LaneName] = first_lane,
        is_portable: Callable[[Job], bool] = lambda _: True,
    ) -> None:
        self._clock = clock or SteadyClock()
        self._longest_s = longest_delay_s
        self._tickets: dict[str, Ticket] = {}
        self._lane_of, self._is_portable = lane_of, is_portable
        self._shares: dict[Stage, dict[LaneName, _Shares]] = {
            stage: {lane: {} for lane in BY_NAME[stage].lanes} for stage in STAGES
        }
        self._counts: dict[Stage, dict[LaneName, int]] = {
            stage: dict.fromkeys(BY_NAME[stage].lanes, 0) for stage in STAGES
        }
        self._lines: dict[tuple[LaneName, int], LineClocks] = defaultdict(LineClocks)
        self._started: dict[tuple[Stage, LaneName], float] = {}
        self._delayed: list[tuple[float, int, Ticket]] = []
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._tickets

    def add(self, job: Job) -> None:
        """Add a job to the queue of `job.stage`; replaces its earlier ticket.

        Raises:
            ValueError: the job has no stage.
        """
        if job.stage is None:
            raise ValueError(f"{job.id} has no stage to wait for")
        before = self.remove(job.id)
        # The delay was given when the job came into its queue, so no more is left, wherever the wall clock was set since.
        longest_s = min(self._longest_s(), max(0.0, job.not_before - job.since))
        due = self._clock.of_future(job.not_before, longest_s) if job.not_before else 0.0
        since = self._clock.of_past(job.since)
        accepted = before.accepted if before else self._clock.of_past(job.accepted)  # the wall clock may have been set
        cost_s = Work.of_job(job).first_guess_s(job.stage)
        lane, portable = self._lane_of(job), self._is_portable(job)
        self._put(Ticket(job.id, job.stage, job.priority, accepted, since, due, lane, job.line, cost_s, portable))

    def restore(self, ticket: Ticket) -> None:
        """Add a ticket again that was removed."""
        self._put(ticket)

    def _put(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket
        self._counts[ticket.stage][ticket.lane] += 1
        if ticket.not_before > 0:
            heapq.heappush(self._delayed, (ticket.not_before, next(self._sequence), ticket))
        else:
            self._share_of(ticket).push(ticket)

    def _share_of(self, ticket: Ticket) -> FairShare[Ticket]:
        shares = self._shares[ticket.stage][ticket.lane]
        if ticket.priority not in shares:
            shares[ticket.priority] = FairShare(self.is_current)
        return shares[ticket.priority]

    def take(self, job_id: str) -> Ticket | None:
        """Remove a job from its queue to work on it, which counts for its owner's share; else as `remove`."""
        ticket = self._tickets.get(job_id)
        if ticket is not None:
            shares = [self._shares[stage].get(ticket.lane, {}).get(ticket.priority) for stage in STAGES]
            waiting = [top.line for share in shares if share is not None and (top := share.head()) is not None]
            self._pop(job_id, was_taken=True)
            self._lines[ticket.lane, ticket.priority].served(ticket.line, ticket.cost_s, waiting)
            self._started[ticket.stage, ticket.lane] = self._clock.now()
        return ticket

    def started(self, stage: Stage, lane: LaneName) -> float:
        """Return when a job of a stage was last started in a lane, monotonic, in s; -inf where none was."""
        return self._started.get((stage, lane), -math.inf)

    def served_s(self, ticket: Ticket) -> float:
        """Return the seconds of work that the line of a job was given in its lane with its priority, over all stages."""
        return self._lines[ticket.lane, ticket.priority].of(ticket.line)

    def remove(self, job_id: str) -> Ticket | None:
        """Remove a job from its queue; returns its ticket, or None if it was not queued."""
        return self._pop(job_id, was_taken=False)

    def _pop(self, job_id: str, *, was_taken: bool) -> Ticket | None:
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._counts[ticket.stage][ticket.lane] -= 1
            self._share_of(ticket).removed(ticket, was_taken=was_taken)
        return ticket

    def is_current(self, ticket: Ticket) -> bool:
        """Return whether a ticket is that of a job which still waits with it."""
        return self._tickets.get(ticket.id) is ticket

    def head(self, stage: Stage, now: float, lane: LaneName | None = None) -> Ticket | None:
        """Return the next job of a stage without removing it. Jobs whose delay has not ended at `now` are left out.

        Args:
            lane: the lane in which it waits; None: any.
        """
        self._enqueue_due(now)
        lanes = [lane] if lane else self._shares[stage]
        tops = [top for one in lanes if (top := self._top(self._shares[stage][one])) is not None]
        return min(tops, key=lambda ticket: (-ticket.priority, ticket.rank), default=None)

    @staticmethod
    def _top(shares: _Shares) -> Ticket | None:
        for priority in sorted(shares, reverse=True):
            if (top := shares[priority].head()) is not None:
                return top
        return None

    def _enqueue_due(self, now: float) -> None:
        while self._delayed and (self._delayed[0][0] <= now or not self.is_current(self._delayed[0][2])):
            ticket = heapq.heappop(self._delayed)[2]
            if self.is_current(ticket):
                self._share_of(ticket).push(ticket)

    def next_due(self) -> float | None:
        """Return when the next delay ends, on the monotonic clock; None if no job is delayed."""
        return self._delayed[0][0] if self._delayed else None

    def count(self, stage: Stage, lane: LaneName | None = None) -> int:
        """Return the number of jobs that wait for a stage, delayed ones included; in one lane, or in all."""
        return self._counts[stage][lane] if lane else sum(self._counts[stage].values())

    def tickets(self) -> Iterator[Ticket]:
        """Iterate over all waiting jobs, unordered; safe to call from another thread."""
        return iter(list(self._tickets.values()))

    def front(self, stage: Stage, n: int) -> list[Ticket]:
        """Return the first `n` jobs of a stage in order, without delayed ones."""
        lanes = map(self._ordered, self._shares[stage].values())
        return [ticket for _, ticket in itertools.islice(heapq.merge(*lanes, key=lambda pair: pair[0]), n)]

    @staticmethod
    def _ordered(shares: _Shares) -> Iterator[tuple[tuple[int, int, tuple[float, str]], Ticket]]:
        """Yield the jobs of a lane in order, each with a key by which those of several lanes are brought into one order."""
        for priority in sorted(shares, reverse=True):
            for place, ticket in enumerate(shares[priority].front()):
                yield (-priority, place, ticket.rank), ticket
