"""How much work of others goes before a job, where those of higher priority go first, and each line of one priority gets the same
share of the slots (docs/scaling.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import reduce
from itertools import accumulate

from daemon.jobs.record import Line
from daemon.outbox.lane_work import LaneWork


class WaitingWork:
    """The work of each line that waits, by priority."""

    def __init__(self, lines: Mapping[int, Mapping[Line, LaneWork]]) -> None:
        self._lines = {priority: LineWork(work) for priority, work in lines.items()}

    def ahead(self, priority: int, line: Line, own: LaneWork) -> LaneWork:
        """Return what goes before the end of a line's `own` work of a priority: all of higher ones, and what the other lines of
        the same are given until then.
        """
        above = (lines.total for one, lines in self._lines.items() if one > priority)
        same = self._lines.get(priority)
        return reduce(LaneWork.plus, above, same.beside(line, own) if same else LaneWork())


class LineWork:
    """The work of each line of one priority that waits.

    Attributes:
        total: the sum of it.
    """

    def __init__(self, lines: Mapping[Line, LaneWork]) -> None:
        self._lines = dict(lines)
        self._sorted: list[list[float]] = [sorted(field) for field in zip(*self._lines.values(), strict=True)] or [
            [] for _ in LaneWork()
        ]
        self._sums = [[0.0, *accumulate(field)] for field in self._sorted]
        self.total = LaneWork(*(sums[-1] for sums in self._sums))

    def beside(self, line: Line, own: LaneWork) -> LaneWork:
        """Return what the other lines are given while one line is given `own`: as much each, or all that they have."""
        mine = self._lines.get(line, LaneWork())
        return LaneWork(
            *(max(0.0, self._up_to(number, seconds) - min(mine[number], seconds)) for number, seconds in enumerate(own))
        )

    def _up_to(self, number: int, seconds: float) -> float:
        """Return the sum over all lines of what they have in a field of `LaneWork`, at most so many seconds each."""
        sizes = self._sorted[number]
        less = bisect_left(sizes, seconds)
        return self._sums[number][less] + seconds * (len(sizes) - less)
