"""Pauses a lane after a fault of the machine: each time for longer, until a job succeeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.events import Events
from daemon.workers.slot import Slot


@dataclass
class FaultPause:
    """A pause of a lane after a fault of the machine. Times are monotonic seconds."""

    error: AvatarError
    began: float
    until: float
    delay_s: float


class FaultPauses:
    """The pauses of a lane.

    Args:
        title: of the lane.
        changed: called when its slots stand still, or go on.

    Attributes:
        pause: the present one; also one whose time is over, until `end`.
    """

    def __init__(
        self, title: str, slots: Sequence[Slot], settings: Settings, events: Events, changed: Callable[[], None]
    ) -> None:
        self._title, self._slots, self._settings, self._events = title, slots, settings, events
        self._changed = changed
        self.pause: FaultPause | None = None

    def is_active(self) -> bool:
        """Return whether the time of a pause is not over."""
        return self.pause is not None and time.monotonic() < self.pause.until

    def begin(self, error: AvatarError) -> None:
        """Pause, for twice as long as the last time if no job has succeeded since."""
        base = self._settings.lanes.pause_s
        delay = min(self.pause.delay_s * 2, base * 10) if self.pause else base
        now = time.monotonic()
        self.pause = FaultPause(error, now, now + delay, delay)
        for slot in self._slots:
            slot.paused_until = self.pause.until
        self._events.lane_paused(self._title, error, delay)
        self._changed()

    def end(self) -> None:
        """End the pause, if there is one."""
        if self.pause is not None:
            self.pause = None
            for slot in self._slots:
                slot.paused_until = 0.0
            self._events.lane_resumed(self._title)
            self._changed()
