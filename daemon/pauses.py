"""Pauses that people order: with an owner, a reason, a beginning, and an end if they gave one.

Two things can be stopped: `lanes` (nothing new is started; what runs goes on to its stage's end) and `intake` (nothing new
is taken out of the inbox: a drain). They are kept in `spool/paused.json`, so that a restart does not forget them.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from daemon import fs

Scope = Literal["lanes", "intake"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Pause:
    """Times are seconds since the epoch; `until` None means until it is ended."""

    by: str
    reason: str
    since: float
    until: float | None = None

    @property
    def over(self) -> bool:
        return self.until is not None and self.until <= time.time()


class Pauses:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: dict[Scope, Pause] = read(path)

    def active(self, scope: Scope) -> Pause | None:
        """The pause in force, if any."""
        pause = self._now.get(scope)
        return None if pause is None or pause.over else pause

    def expire(self) -> list[Scope]:
        """Forget the pauses whose time is over; returns which."""
        over = [scope for scope, pause in self._now.items() if pause.over]
        if over:
            now = {scope: pause for scope, pause in self._now.items() if scope not in over}
            with contextlib.suppress(OSError):  # the file says when they end; nobody reads more into it
                self._change(now)
            self._now = now
        return over

    def begin(self, scope: Scope, pause: Pause) -> None:
        self._change({**self._now, scope: pause})

    def end(self, scope: Scope) -> Pause | None:
        """End a pause; returns the one there was."""
        ended = self._now.get(scope)
        self._change({other: pause for other, pause in self._now.items() if other != scope})
        return ended

    def _change(self, now: dict[Scope, Pause]) -> None:
        fs.replace_json(self._path, {scope: asdict(pause) for scope, pause in now.items()})
        self._now = now


def read(path: Path) -> dict[Scope, Pause]:
    """The pauses on disk; none where the file is missing or not ours."""
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        return {scope: Pause(**raw[scope]) for scope in SCOPES if scope in raw}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
