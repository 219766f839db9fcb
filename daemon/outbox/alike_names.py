"""Tells which names in a folder of the outbox are one file on Windows or a Mac: `Report` and `report`, or two forms of `Zoë`.

Most names are written in small letters, so only the others are kept. They are listed once, and again after `LIST_S`, since people
may put files there; what the daemon itself gives is added at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from daemon.system import subfolders
from daemon.system.spelling import folded

#: A listing counts for so long, in s: it takes a tenth of a second for 100,000 files.
LIST_S = 60.0
#: Folders of which the names are kept; people may make any number of them.
KEPT = 256


class AlikeNames:
    """Lists a folder of the outbox by the form of names that all systems agree on.

    Args:
        folder: its path below the outbox `root`; empty: the outbox itself.
        name_of: gives the name that an entry of the folder stands for; None where it does not count.
        clock: monotonic, in s.
    """

    def __init__(
        self,
        root: Path,
        folder: str,
        name_of: Callable[[os.DirEntry[str]], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._folder = folder
        self._name_of = name_of
        self._clock = clock
        self._listed: float | None = None
        self._known: dict[str, set[str]] = {}

    def of(self, name: str) -> set[str]:
        """Return the other names, there or not, that may be the same on another system."""
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
        with (
            contextlib.suppress(OSError),
            subfolders.opened(self._root, self._folder) as path,
            os.scandir(path) as entries,
        ):
            for entry in entries:
                if not entry.name.startswith(".") and (name := self._name_of(entry)) is not None:
                    self.add(name)


class AlikeInFolders:
    """The `AlikeNames` of each folder of the outbox, for those that were used last."""

    def __init__(self, root: Path, name_of: Callable[[os.DirEntry[str]], str | None]) -> None:
        self._root = root
        self._name_of = name_of
        self._known: dict[str, AlikeNames] = {}

    def at(self, folder: str) -> AlikeNames:
        """Return those of a folder, by its path below the outbox."""
        names = self._known.pop(folder, None) or AlikeNames(self._root, folder, self._name_of)
        self._known[folder] = names  # the last one used stands last
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return names
