"""Converts wall times to the monotonic clock, so that setting the system clock does not change waits.

Records on disk contain wall times, for people; waits use the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: A larger difference between the clocks, in s, means that the wall clock was set; a smaller one is NTP's slow correction.
STEP_S = 1.0


class SteadyClock:
    """Converts wall times (seconds since the epoch) to monotonic times, in s."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.now = monotonic
        self._wall = wall
        self._offset = wall() - monotonic()

    def of_past(self, wall_s: float) -> float:
        """Return the monotonic time of a past event; at most now, even if the clock was set back since."""
        return min(self._convert(wall_s), self.now())

    def of_future(self, wall_s: float, longest_s: float) -> float:
        """Return the monotonic time of a future event; at most `longest_s` from now."""
        return min(self._convert(wall_s), self.now() + longest_s)

    def _convert(self, wall_s: float) -> float:
        offset = self._wall() - self.now()
        if abs(offset - self._offset) > STEP_S:
            self._offset = offset
        return wall_s - self._offset
