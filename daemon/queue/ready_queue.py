"""Indexes the queued jobs in memory, one small ticket each, so that taking a job costs the same however many wait.

The spool on disk is authoritative. A job's record is read from disk when the job is taken. Times are the monotonic clock's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daemon.jobs.record import Job
from daemon.jobs.stages import BY_NAME, STAGES, LaneName, Stage
from daemon.queue.steady_clock import SteadyClock


@dataclass(frozen=True, slots=True)
class Ticket:
    """One queued job. Order: priority (higher first), then acceptance time, then id. Times are monotonic, in s.

    Attributes:
        accepted: when the job was accepted.
        since: when the job entered this queue.
        not_before: when its delay ends; 0 for none.
        lane: the lane in which it waits.
    """

    id: str
    stage: Stage
    priority: int
    accepted: float
    since: float
    not_before: float
    lane: LaneName

    @property
    def rank(self) -> tuple[int, float, str]:
        """Sort key; the smallest is next."""
        return (-self.priority, self.accepted, self.id)


_Entry = tuple[tuple[int, float, str], int, Ticket]


def first_lane(job: Job) -> LaneName:
    """Return the first lane of a job's stage."""
    return BY_NAME[str(job.stage)].lanes[0]


class ReadyQueue:
    """Priority queues of tickets, one for each lane of each stage. Removed tickets stay in the heaps and are skipped at the top.

    Args:
        lane_of: chooses the lane in which a job waits for its stage.
        longest_delay_s: returns the longest delay in s; it bounds delays in records, since the system clock may have been set.
    """

    def __init__(
        self,
        clock: SteadyClock | None = None,
        longest_delay_s: Callable[[], float] = lambda: 3600.0,
        lane_of: Callable[[Job], LaneName] = first_lane,
    ) -> None:
        self._clock = clock or SteadyClock()
        self._longest_s = longest_delay_s
        self._tickets: dict[str, Ticket] = {}
        self._lane_of = lane_of
        self._heaps: dict[Stage, dict[LaneName, list[_Entry]]] = {
            stage: {lane: [] for lane in BY_NAME[stage].lanes} for stage in STAGES
        }
        self._counts: dict[Stage, dict[LaneName, int]] = {
            stage: dict.fromkeys(BY_NAME[stage].lanes, 0) for stage in STAGES
        }
        self._delayed: list[tuple[float, int, Ticket]] = []
        # A job may be in a heap twice, once as an outdated entry; the number keeps heapq from comparing tickets.
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
        due = self._clock.of_future(job.not_before, self._longest_s()) if job.not_before else 0.0
        since = self._clock.of_past(job.since)
        accepted = before.accepted if before else self._clock.of_past(job.accepted)  # the wall clock may have been set
        self._put(Ticket(job.id, job.stage, job.priority, accepted, since, due, self._lane_of(job)))

    def restore(self, ticket: Ticket) -> None:
        """Add a ticket again that was removed."""
        self._put(ticket)

    def _put(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket
        self._counts[ticket.stage][ticket.lane] += 1
        if ticket.not_before > 0:
            heapq.heappush(self._delayed, (ticket.not_before, next(self._sequence), ticket))
        else:
            heapq.heappush(self._heaps[ticket.stage][ticket.lane], (ticket.rank, next(self._sequence), ticket))

    def remove(self, job_id: str) -> Ticket | None:
        """Remove a job from its queue; returns its ticket, or None if it was not queued."""
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._counts[ticket.stage][ticket.lane] -= 1
        return ticket

    def _is_current(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.id) is ticket

    def head(self, stage: Stage, now: float, lane: LaneName | None = None) -> Ticket | None:
        """Return the next job of a stage without removing it. Jobs whose delay has not ended at `now` are left out.

        Args:
            lane: the lane in which it waits; None: any.
        """
        self._enqueue_due(now)
        heaps = self._heaps[stage]
        tops = [top for one in ([lane] if lane else heaps) if (top := self._top(heaps[one])) is not None]
        return min(tops, key=lambda ticket: ticket.rank, default=None)

    def _top(self, heap: list[_Entry]) -> Ticket | None:
        while heap and not self._is_current(heap[0][2]):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def _enqueue_due(self, now: float) -> None:
        while self._delayed and (self._delayed[0][0] <= now or not self._is_current(self._delayed[0][2])):
            ticket = heapq.heappop(self._delayed)[2]
            if self._is_current(ticket):
                heapq.heappush(self._heaps[ticket.stage][ticket.lane], (ticket.rank, next(self._sequence), ticket))

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
        entries = heapq.merge(*map(_in_rank_order, self._heaps[stage].values()), key=lambda ticket: ticket.rank)
        return list(itertools.islice(filter(self._is_current, entries), n))


def _in_rank_order(heap: list[_Entry]) -> Iterator[Ticket]:
    """Iterate over the tickets of a heap, smallest first. Visits only the requested entries and their children."""
    edge = [(heap[0], 0)] if heap else []
    while edge:
        entry, at = heapq.heappop(edge)
        yield entry[2]
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heapq.heappush(edge, (heap[below], below))
