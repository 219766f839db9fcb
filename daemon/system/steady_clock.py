"""Wall times as times of the monotonic clock, so that setting the clock shortens and lengthens no wait.

Records on disk hold wall times, which people read. What is waited for by them is waited for on the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: The wall clock was set when it moved this far against the monotonic one, in s; less is the slow correction that NTP makes.
STEP_S = 1.0


class SteadyClock:
    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.now = monotonic
        self._wall = wall
        self._offset = wall() - monotonic()

    def of_past(self, wall_s: float) -> float:
        """The monotonic time of something that has happened; not later than now, also where the clock was set back since."""
        return min(self._convert(wall_s), self.now())

    def of_future(self, wall_s: float, longest_s: float) -> float:
        """The monotonic time of something that is to come, at most `longest_s` from now."""
        return min(self._convert(wall_s), self.now() + longest_s)

    def _convert(self, wall_s: float) -> float:
        offset = self._wall() - self.now()
        if abs(offset - self._offset) > STEP_S:
            self._offset = offset
        return wall_s - self._offset
