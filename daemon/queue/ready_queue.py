"""Indexes the queued jobs in memory, one small ticket each, so that taking a job costs the same however many wait.

The spool on disk is authoritative. A job's record is read from disk when the job is taken. Times are the monotonic clock's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES, Stage
from daemon.system.steady_clock import SteadyClock


@dataclass(frozen=True, slots=True)
class Ticket:
    """One queued job. Order: priority (higher first), then acceptance time, then id. Times are monotonic, in s.

    Attributes:
        accepted: when the job was accepted.
        since: when the job entered this queue.
        not_before: when its delay ends; 0 for none.
    """

    id: str
    stage: Stage
    priority: int
    accepted: float
    since: float
    not_before: float

    @property
    def rank(self) -> tuple[int, float, str]:
        """Sort key; the smallest is next."""
        return (-self.priority, self.accepted, self.id)


_Entry = tuple[tuple[int, float, str], int, Ticket]


class ReadyQueue:
    """Priority queues of tickets, one for each stage. Removed tickets stay in the heaps and are skipped at the top.

    Args:
        longest_delay_s: returns the longest delay in s; it bounds delays in records, since the system clock may have been set.
    """

    def __init__(self, clock: SteadyClock | None = None, longest_delay_s: Callable[[], float] = lambda: 3600.0) -> None:
        self._clock = clock or SteadyClock()
        self._longest_s = longest_delay_s
        self._tickets: dict[str, Ticket] = {}
        self._heaps: dict[Stage, list[_Entry]] = {stage: [] for stage in STAGES}
        self._counts: dict[Stage, int] = dict.fromkeys(STAGES, 0)
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
        self._put(Ticket(job.id, job.stage, job.priority, accepted, since, due))

    def restore(self, ticket: Ticket) -> None:
        """Add a ticket again that was removed."""
        self._put(ticket)

    def _put(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket
        self._counts[ticket.stage] += 1
        if ticket.not_before > 0:
            heapq.heappush(self._delayed, (ticket.not_before, next(self._sequence), ticket))
        else:
            heapq.heappush(self._heaps[ticket.stage], (ticket.rank, next(self._sequence), ticket))

    def remove(self, job_id: str) -> Ticket | None:
        """Remove a job from its queue; returns its ticket, or None if it was not queued."""
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._counts[ticket.stage] -= 1
        return ticket

    def _is_current(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.id) is ticket

    def head(self, stage: Stage, now: float) -> Ticket | None:
        """Return the next job of a stage without removing it. Jobs whose delay has not ended at `now` are left out."""
        self._enqueue_due(now)
        heap = self._heaps[stage]
        while heap and not self._is_current(heap[0][2]):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def _enqueue_due(self, now: float) -> None:
        while self._delayed and (self._delayed[0][0] <= now or not self._is_current(self._delayed[0][2])):
            ticket = heapq.heappop(self._delayed)[2]
            if self._is_current(ticket):
                heapq.heappush(self._heaps[ticket.stage], (ticket.rank, next(self._sequence), ticket))

    def next_due(self) -> float | None:
        """Return when the next delay ends, on the monotonic clock; None if no job is delayed."""
        return self._delayed[0][0] if self._delayed else None

    def count(self, stage: Stage) -> int:
        """Return the number of jobs that wait for a stage, delayed ones included."""
        return self._counts[stage]

    def tickets(self) -> Iterator[Ticket]:
        """Iterate over all waiting jobs, unordered; safe to call from another thread."""
        return iter(list(self._tickets.values()))

    def front(self, stage: Stage, n: int) -> list[Ticket]:
        """Return the first `n` jobs of a stage in order, without delayed ones."""
        return list(itertools.islice(filter(self._is_current, _in_rank_order(self._heaps[stage])), n))


def _in_rank_order(heap: list[_Entry]) -> Iterator[Ticket]:
    """Iterate over the tickets of a heap, smallest first. Visits only the requested entries and their children."""
    edge = [(heap[0], 0)] if heap else []
    while edge:
        entry, at = heapq.heappop(edge)
        yield entry[2]
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heapq.heappush(edge, (heap[below], below))
