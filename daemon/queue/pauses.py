"""Keeps the pauses that people order, each with an author, a reason, a start and an optional end.

Two scopes can be paused: `lanes` (no new stage starts; running stages finish) and `intake` (no new job is taken from the
inbox). Pauses are stored in `spool/paused.json`, so that they survive a restart.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from daemon.system.json_files import replace_json

Scope = Literal["lanes", "intake"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Pause:
    """A pause that a person ordered. Times are seconds since the epoch; `until` None: until somebody ends it."""

    by: str
    reason: str
    since: float
    until: float | None = None

    @property
    def left_s(self) -> float:
        """Seconds until the pause ends, by the wall clock; at most its ordered length."""
        if self.until is None:
            return math.inf
        return min(self.until - time.time(), self.until - self.since)


class Pauses:
    """The pauses in force. `path`: the file that stores them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: dict[Scope, Pause] = {}
        #: End of each pause on the monotonic clock, so that setting the system time changes nothing.
        self._ends: dict[Scope, float] = {}
        self._set_active(read_pauses(path))

    def active(self, scope: Scope) -> Pause | None:
        """Return the pause in force for a scope; None if there is none."""
        pause = self._now.get(scope)
        return None if pause is None or self._has_ended(scope) else pause

    def _has_ended(self, scope: Scope) -> bool:
        return self._ends[scope] <= time.monotonic()

    def expire(self) -> list[Scope]:
        """Remove the pauses that have ended; returns their scopes."""
        over = [scope for scope in self._now if self._has_ended(scope)]
        if over:
            now = {scope: pause for scope, pause in self._now.items() if scope not in over}
            with contextlib.suppress(OSError):  # readers of the file see that their end is past
                self._save(now)
            self._set_active(now)
        return over

    def begin(self, scope: Scope, pause: Pause) -> None:
        """Store a pause and put it in force.

        Raises:
            OSError: the file could not be written; nothing changed.
        """
        self._save({**self._now, scope: pause})

    def end(self, scope: Scope) -> Pause | None:
        """End the pause of a scope; returns it, or None if there was none."""
        ended = self._now.get(scope)
        self._save({other: pause for other, pause in self._now.items() if other != scope})
        return ended

    def _save(self, now: dict[Scope, Pause]) -> None:
        replace_json(self._path, {scope: asdict(pause) for scope, pause in now.items()})
        self._set_active(now)

    def _set_active(self, now: dict[Scope, Pause]) -> None:
        """Set the pauses in force. Known pauses keep their end on the monotonic clock; new ones get one."""
        known = {scope: self._ends[scope] for scope, pause in now.items() if self._now.get(scope) is pause}
        self._ends = {scope: known.get(scope, time.monotonic() + pause.left_s) for scope, pause in now.items()}
        self._now = now


def read_pauses(path: Path) -> dict[Scope, Pause]:
    """Return the pauses stored in a file; none if it is missing or invalid."""
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        return {scope: Pause(**raw[scope]) for scope in SCOPES if scope in raw}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
