"""Who waits where, in memory: a small ticket for each queued job, so that a claim costs the same however many wait.

The disk is the truth; this is its index. Records are read from disk when a job is taken. Times here are the monotonic clock's.
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
    """A queued job. Order: priority (higher first), then the time it was accepted, then its id. Times are monotonic, in s."""

    id: str
    stage: Stage
    priority: int
    accepted: float
    since: float
    not_before: float

    @property
    def rank(self) -> tuple[int, float, str]:
        return (-self.priority, self.accepted, self.id)


_Entry = tuple[tuple[int, float, str], int, Ticket]


class ReadyQueue:
    """Queues of tickets, one a stage. Removed tickets stay in the heaps until they come up, and are then skipped.

    Args:
        longest_delay_s: says how long a job is delayed at most, whatever its record says: the clock may have been set meanwhile.
    """

    def __init__(self, clock: SteadyClock | None = None, longest_delay_s: Callable[[], float] = lambda: 3600.0) -> None:
        self._clock = clock or SteadyClock()
        self._longest_s = longest_delay_s
        self._tickets: dict[str, Ticket] = {}
        self._heaps: dict[Stage, list[_Entry]] = {stage: [] for stage in STAGES}
        self._counts: dict[Stage, int] = dict.fromkeys(STAGES, 0)
        self._delayed: list[tuple[float, int, Ticket]] = []
        # A job may stand in a heap twice, once no longer valid; the number keeps the comparison off the tickets.
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._tickets

    def add(self, job: Job) -> None:
        """A job came to stand in the queue of `job.stage`."""
        if job.stage is None:
            raise ValueError(f"{job.id} has no stage to wait for")
        self.remove(job.id)
        due = self._clock.of_future(job.not_before, self._longest_s()) if job.not_before else 0.0
        accepted, since = self._clock.of_past(job.accepted), self._clock.of_past(job.since)
        self._put(Ticket(job.id, job.stage, job.priority, accepted, since, due))

    def restore(self, ticket: Ticket) -> None:
        """Put a ticket back that was taken off."""
        self._put(ticket)

    def _put(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket
        self._counts[ticket.stage] += 1
        if ticket.not_before > 0:
            heapq.heappush(self._delayed, (ticket.not_before, next(self._sequence), ticket))
        else:
            heapq.heappush(self._heaps[ticket.stage], (ticket.rank, next(self._sequence), ticket))

    def remove(self, job_id: str) -> Ticket | None:
        """Take a job out of its queue."""
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._counts[ticket.stage] -= 1
        return ticket

    def _is_current(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.id) is ticket

    def head(self, stage: Stage, now: float) -> Ticket | None:
        """The next job of a stage, left in place; jobs whose delay is not over are passed over."""
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
        """When the next delay ends."""
        return self._delayed[0][0] if self._delayed else None

    def count(self, stage: Stage) -> int:
        return self._counts[stage]

    def tickets(self) -> Iterator[Ticket]:
        """All waiting jobs, in no order; safe to call from another thread."""
        return iter(list(self._tickets.values()))

    def front(self, stage: Stage, n: int) -> list[Ticket]:
        """The first `n` jobs of a stage in order, without those whose delay is not over."""
        return list(itertools.islice(filter(self._is_current, _in_rank_order(self._heaps[stage])), n))


def _in_rank_order(heap: list[_Entry]) -> Iterator[Ticket]:
    """The tickets of a heap, the smallest first. Looks only at those that are asked for, and at what stands right below them."""
    edge = [(heap[0], 0)] if heap else []
    while edge:
        entry, at = heapq.heappop(edge)
        yield entry[2]
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heapq.heappush(edge, (heap[below], below))
