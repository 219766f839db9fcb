"""Counts the work that each line of jobs was given in one lane with one priority, over all of its stages.

Each stage shares its own queue (`daemon.queue.fair_share`). Between stages the lane goes by these clocks: otherwise a thousand
jobs of one batch that wait for one stage would go before the single job of another person at the next one. Each priority has
clocks of its own: work of a higher one must not change who is owed what among the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.jobs.record import Line

#: So many lines are remembered beside those that are ahead.
_REMEMBERED = 1000
#: Most seconds that a line which waits is owed. One whose stage no slot can run now, as while its GPU is lost, must not be owed
#: hours: whoever comes later starts beside it, and would go before all others for as long.
_OWED_S = 600.0
#: Least seconds that a stage counts.
_LEAST_S = 0.01


class LineClocks:
    """Seconds of work by line. A line that comes, or comes back, starts where those that wait stand: it neither saved up turns
    nor pays for having been away.
    """

    def __init__(self) -> None:
        self._clocks: dict[Line, float] = {}
        self._now = 0.0

    def of(self, line: Line) -> float:
        """Return the seconds that a line was given; the line with the least is next."""
        return max(self._clocks.get(line, 0.0), self._now)

    def served(self, line: Line, cost_s: float, waiting: Iterable[Line] = ()) -> None:
        """Note that a job of a line is worked on.

        Args:
            cost_s: seconds that it is expected to take.
            waiting: the lines that are next in their queues with this priority. A line may be served before others that were
                given less, as where its model is loaded: what these are owed is kept for them, up to `_OWED_S`.
        """
        clock = self.of(line)
        self._now = max(self._now, min((self.of(other) for other in waiting), default=clock), clock - _OWED_S)
        self._clocks[line] = clock + max(cost_s, _LEAST_S)
        if len(self._clocks) > _REMEMBERED:
            self._clocks = {line: clock for line, clock in self._clocks.items() if clock > self._now}
