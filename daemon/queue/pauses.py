"""Pauses that people order: with an owner, a reason, a beginning, and an end if they gave one.

Two things can be stopped: `lanes` (nothing new is started; what runs goes on to its stage's end) and `intake` (nothing new
is taken out of the inbox: a drain). They are kept in `spool/paused.json`, so that a restart does not forget them.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from daemon.system import fs

Scope = Literal["lanes", "intake"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Pause:
    """Times are seconds since the epoch, for people; `until` None means until it is ended."""

    by: str
    reason: str
    since: float
    until: float | None = None

    @property
    def left_s(self) -> float:
        """Seconds until it ends, by the wall clock, but never more than it was ordered for."""
        if self.until is None:
            return math.inf
        return min(self.until - time.time(), self.until - self.since)


class Pauses:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: dict[Scope, Pause] = {}
        #: When they end, on the monotonic clock: setting the time changes nothing while the daemon runs.
        self._ends: dict[Scope, float] = {}
        self._set_active(read_pauses(path))

    def active(self, scope: Scope) -> Pause | None:
        """The pause in force, if any."""
        pause = self._now.get(scope)
        return None if pause is None or self._has_ended(scope) else pause

    def _has_ended(self, scope: Scope) -> bool:
        return self._ends[scope] <= time.monotonic()

    def expire(self) -> list[Scope]:
        """Forget the pauses whose time is over; returns which."""
        over = [scope for scope in self._now if self._has_ended(scope)]
        if over:
            now = {scope: pause for scope, pause in self._now.items() if scope not in over}
            with contextlib.suppress(OSError):  # the file says when they end; nobody reads more into it
                self._save(now)
            self._set_active(now)
        return over

    def begin(self, scope: Scope, pause: Pause) -> None:
        self._save({**self._now, scope: pause})

    def end(self, scope: Scope) -> Pause | None:
        """End a pause; returns the one there was."""
        ended = self._now.get(scope)
        self._save({other: pause for other, pause in self._now.items() if other != scope})
        return ended

    def _save(self, now: dict[Scope, Pause]) -> None:
        fs.replace_json(self._path, {scope: asdict(pause) for scope, pause in now.items()})
        self._set_active(now)

    def _set_active(self, now: dict[Scope, Pause]) -> None:
        """Take over the pauses in force; what has been running goes on to its end, what is new gets one."""
        known = {scope: self._ends[scope] for scope, pause in now.items() if self._now.get(scope) is pause}
        self._ends = {scope: known.get(scope, time.monotonic() + pause.left_s) for scope, pause in now.items()}
        self._now = now


def read_pauses(path: Path) -> dict[Scope, Pause]:
    """The pauses on disk; none where the file is missing or not ours."""
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        return {scope: Pause(**raw[scope]) for scope in SCOPES if scope in raw}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
