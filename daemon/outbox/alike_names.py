"""Tells which names in the outbox are one file on Windows or a Mac: `Report` and `report`, or `Zoë` with its letters taken apart.

Most names are written in small letters, so only the others are kept. They are listed once, and again after `LIST_S`, since people
may put files there; what the daemon itself gives is added at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.system.spelling import folded

#: A listing counts for so long, in s: it takes a tenth of a second for 100,000 files.
LIST_S = 60.0


class AlikeNames:
    """Lists the outbox by the form of names that all systems agree on.

    Args:
        endings: of results; a name counts without them.
        clock: monotonic, in s.
    """

    def __init__(self, root: Path, endings: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._endings = sorted(endings, key=len, reverse=True)
        self._clock = clock
        self._listed: float | None = None
        self._known: dict[str, set[str]] = {}

    def of(self, name: str) -> set[str]:
        """Return the other names of results, with files or without, that may be the same on another system."""
        if self._listed is None or self._clock() - self._listed >= LIST_S:
            self._list()
        plain = folded(name)
        return ({plain} | self._known.get(plain, set())) - {name}

    def add(self, name: str) -> None:
        """Note a name that was given."""
        if (plain := folded(name)) != name:
            self._known.setdefault(plain, set()).add(name)

    def _list(self) -> None:
        self._known, self._listed = {}, self._clock()
        with contextlib.suppress(OSError), os.scandir(self._root) as entries:
            for entry in entries:
                ending = next((one for one in self._endings if entry.name.lower().endswith(one)), None)
                if ending is not None and not entry.name.startswith("."):
                    self.add(entry.name[: -len(ending)])
