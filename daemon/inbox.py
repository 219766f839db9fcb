"""Looking at the inbox: which manifests lie there, and whether they and their files have stopped changing.

A file is still when two looks, at least `settle_s` apart, found the same inode, size and modification time. Times in the file
are only compared with themselves, so a clock that is wrong (a file server's, say) does not matter.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daemon.config import Intake

MANIFESTS = (".yaml", ".yml")
#: What people without a shell put beside their files: `hello.cancel` means the job whose result is called hello.
WISHES = (".cancel", ".hold", ".release")
#: Names that programs give to what they have not finished writing.
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".download")
MAX_DEPTH = 4  # folders below the inbox that are looked into


class Look(NamedTuple):
    """What a file looked like."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, path: str | Path) -> Look | None:
        try:
            info = os.lstat(path)
        except (OSError, ValueError):
            return None
        return cls(info.st_ino, info.st_size if stat.S_ISREG(info.st_mode) else -1, info.st_mtime_ns)


@dataclass(frozen=True)
class Drop:
    """A manifest in the inbox. `name`: its path below the inbox; `settled`: it has stopped changing."""

    name: str
    look: Look
    settled: bool

    @property
    def stem(self) -> str:
        return os.path.splitext(os.path.basename(self.name))[0]


def ignored(name: str) -> bool:
    """Names that are never a finished drop: hidden, temporary, or a copy made by a synchroniser."""
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or name.lower().endswith(UNFINISHED)
        or ".sync-conflict-" in name
    )


class Inbox:
    """Remembers what each file looked like, and since when."""

    def __init__(self, root: Path, settings: Intake, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._settings = settings
        self._clock = clock
        self._seen: dict[str, tuple[Look, float]] = {}
        self._touched: set[str] = set()
        #: Files such as `hello.cancel` found by the last look: wishes of people who have only the folder.
        self.wishes: list[str] = []

    def look(self) -> list[Drop]:
        """One look at every manifest. What was not asked about since the last look is forgotten."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in self._touched}
        self._touched = set()
        self.wishes = []
        drops = []
        for name in self._names(str(self.root), "", 0):
            if name.lower().endswith(WISHES):
                self.wishes.append(name)
                continue
            look = Look.at(self.root / name)
            if look is not None:
                drops.append(Drop(name, look, self._still(name, look)))
        return drops

    def _names(self, folder: str, prefix: str, depth: int) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH:
                        yield from self._below(entry, prefix, depth)
                elif entry.name.lower().endswith((*MANIFESTS, *WISHES)):
                    yield prefix + entry.name

    def _below(self, entry: os.DirEntry[str], prefix: str, depth: int) -> Iterator[str]:
        try:
            yield from self._names(entry.path, f"{prefix}{entry.name}/", depth + 1)
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            return  # moved away while we looked, or not ours to read

    def still(self, name: str) -> bool:
        """Whether a file that a manifest names is there and has stopped changing. Links count as still: opening refuses them."""
        look = Look.at(self.root / name)
        return look is not None and self._still(name, look)

    def _still(self, name: str, look: Look) -> bool:
        now = self._clock()
        self._touched.add(name)
        known = self._seen.get(name)
        if known is None or known[0] != look:
            self._seen[name] = (look, now)
            return False
        # Some programs create a file long before they fill it.
        wait = self._settings.empty_wait_s if look.size == 0 else self._settings.settle_s
        return now - known[1] >= wait

    def unsettled(self) -> bool:
        """Whether a file was seen that may become still soon, so that the next look should not wait for the full scan."""
        now = self._clock()
        soon = max(self._settings.settle_s, self._settings.empty_wait_s)
        return any(now - since < soon + self._settings.scan_s for _, since in self._seen.values())

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)
