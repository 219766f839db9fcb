"""Decides whose job of one queue is next, so that everybody who waits gets the same share of the work.

Each line (the jobs of one owner from one folder) has a clock that counts the seconds of work it was given. The line with the
lowest clock is next, which is start-time fair queueing (Goyal, Vin, Cheng 1996). Folders of one owner share the owner's share.
Who begins to wait starts at the lowest clock of those that wait: nobody saves turns up, and nobody pays for having been alone.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from daemon.jobs.record import Line

#: Lines that do not wait are forgotten when there are so many of them beside as many as wait.
_IDLE = 100
#: Least seconds that a job counts, so that jobs without work are shared, too.
_LEAST_S = 0.01


class Waiter(Protocol):
    """A job that waits in a queue. `cost_s`: seconds of work that it is expected to take."""

    @property
    def rank(self) -> Any:
        """Sort key in its line; the smallest is next."""

    @property
    def line(self) -> Line:
        """Where it stands."""

    @property
    def cost_s(self) -> float:
        """Seconds of work."""


T = TypeVar("T", bound=Waiter)


class _Jobs(Generic[T]):
    """One line. `entry`: number of its valid entry in the order of the lines; 0: it has no job."""

    __slots__ = ("clock", "entry", "heap", "key")

    def __init__(self, key: Line) -> None:
        self.key = key
        self.clock = 0.0
        self.entry = 0
        self.heap: list[tuple[Any, int, T]] = []


class FairShare(Generic[T]):
    """The jobs that wait in one queue with one priority. Whatever it does costs the same however many wait.

    Args:
        is_current: tells whether a job still waits; jobs that do not are passed over.
    """

    def __init__(self, is_current: Callable[[T], bool]) -> None:
        self._is_current = is_current
        self._lines: dict[Line, _Jobs[T]] = {}
        self._waiting: Counter[str] = Counter()  # lines that wait, by owner
        # Outdated entries stay, and are skipped at the top; the numbers keep heapq from comparing lines and jobs.
        self._order: list[tuple[float, Any, int, _Jobs[T]]] = []
        self._numbers = itertools.count(1)
        self._floor = 0.0

    def push(self, job: T) -> None:
        """Add a job."""
        line = self._lines.get(job.line)
        if line is None:
            line = self._lines[job.line] = _Jobs(job.line)
        if not line.entry:
            first = self._first()
            self._floor = max(self._floor, first.clock if first else 0.0)
            line.clock = max(line.clock, self._floor)
        heapq.heappush(line.heap, (job.rank, next(self._numbers), job))
        self._place(line)

    def head(self) -> T | None:
        """Return the next job without removing it."""
        line = self._first()
        return line.heap[0][2] if line else None

    def removed(self, job: T, *, was_taken: bool) -> None:
        """Tell that a job does not wait any more. `was_taken`: it is worked on now, which counts for its line."""
        line = self._lines.get(job.line)
        if line is None or not line.entry:
            return
        if was_taken:
            self._floor = max(self._floor, line.clock)
            line.clock += self._cost(job)
        self._place(line)

    def front(self) -> Iterator[T]:
        """Yield the jobs in the order in which they come up if no other one is added. Only what is asked for is looked at."""
        lines = filter(self._is_valid, in_order(self._order))
        edge: list[tuple[float, Any, int, T, Iterator[T]]] = []
        upcoming = next(lines, None)
        while edge or upcoming:
            if upcoming and (not edge or upcoming[:2] <= edge[0][:2]):
                clock, rank, number, line = upcoming
                jobs = self._jobs_of(line)
                heapq.heappush(edge, (clock, rank, number, next(jobs), jobs))
                upcoming = next(lines, None)
                continue
            clock, _, number, job, jobs = heapq.heappop(edge)
            yield job
            if (after := next(jobs, None)) is not None:
                heapq.heappush(edge, (clock + self._cost(job), after.rank, number, after, jobs))

    def _jobs_of(self, line: _Jobs[T]) -> Iterator[T]:
        return (job for _, _, job in in_order(line.heap) if self._is_current(job))

    def _cost(self, job: T) -> float:
        return max(_LEAST_S, job.cost_s) * max(1, self._waiting[job.line[0]])

    def _first(self) -> _Jobs[T] | None:
        while self._order and not self._is_valid(self._order[0]):
            heapq.heappop(self._order)
        return self._order[0][3] if self._order else None

    def _is_valid(self, entry: tuple[float, Any, int, _Jobs[T]]) -> bool:
        return entry[3].entry == entry[2]

    def _place(self, line: _Jobs[T]) -> None:
        """Put a line where its clock and its next job belong."""
        while line.heap and not self._is_current(line.heap[0][2]):
            heapq.heappop(line.heap)
        waited, line.entry = bool(line.entry), next(self._numbers) if line.heap else 0
        if line.heap:
            heapq.heappush(self._order, (line.clock, line.heap[0][0], line.entry, line))
        self._waiting[line.key[0]] += bool(line.entry) - waited
        if not line.entry:
            self._forget()

    def _forget(self) -> None:
        """Forget lines that wait for nothing and that nobody would be served before; all of them where nobody waits."""
        count = self._waiting.total()
        if not count:
            self._floor = max(line.clock for line in self._lines.values())
        elif len(self._lines) < 2 * count + _IDLE:
            return
        self._lines = {key: line for key, line in self._lines.items() if line.entry or line.clock > self._floor}
        self._waiting = +self._waiting


def in_order(heap: list[Any]) -> Iterator[Any]:
    """Iterate over the entries of a heap, smallest first. Visits only the requested entries and their children."""
    edge = [(heap[0], 0)] if heap else []
    while edge:
        entry, at = heapq.heappop(edge)
        yield entry
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heapq.heappush(edge, (heap[below], below))
