"""Looking at the inbox: which manifests lie there, and whether they and their files have stopped changing.

A file is still when two looks, at least `settle_s` apart, found the same inode, size and times. Times in the file are only
compared with themselves, so a clock that is wrong (a file server's, say) does not matter. Every file is looked at, so that a
picture and the manifest that names it settle in the same time, and nothing has to be read before it is still.
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
    """What a file looked like. `ctime_ns` shows a write that hides its time, as file servers can."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Look:
        size = info.st_size if stat.S_ISREG(info.st_mode) else -1
        return cls(info.st_ino, size, info.st_mtime_ns, info.st_ctime_ns)

    @classmethod
    def at(cls, path: str | Path) -> Look | None:
        try:
            return cls.of(os.lstat(path))
        except (OSError, ValueError):
            return None

    def same_content(self, other: Look | None) -> bool:
        """Whether it is the same file with the same content; its name, and with it `ctime_ns`, may have changed."""
        return other is not None and self[:3] == other[:3]


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
        #: The time of the last look.
        self.now = clock()
        self._seen: dict[str, tuple[Look, float]] = {}
        self._asked: set[str] = set()
        #: Files such as `hello.cancel` found by the last look: wishes of people who have only the folder.
        self.wishes: list[str] = []

    def look(self) -> list[Drop]:
        """One look at every file; returns the manifests."""
        self.now = self._clock()
        before, self._seen = self._seen, {}
        drops, wishes = [], []
        for name, look in self._files(str(self.root), "", 0):
            self._note(name, look, before)
            if name.lower().endswith(MANIFESTS):
                drops.append(Drop(name, look, self._still(name)))
            elif name.lower().endswith(WISHES):
                wishes.append(name)
        for name in self._asked - self._seen.keys():
            if (look_again := Look.at(self.root / name)) is not None:
                self._note(name, look_again, before)
        self.wishes, self._asked = wishes, set()
        return drops

    def _files(self, folder: str, prefix: str, depth: int) -> Iterator[tuple[str, Look]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if ignored(entry.name):
                    continue
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        yield prefix + entry.name, Look.of(entry.stat(follow_symlinks=False))
                    elif depth < MAX_DEPTH:
                        yield from self._files(entry.path, f"{prefix}{entry.name}/", depth + 1)
                except (FileNotFoundError, PermissionError, NotADirectoryError):
                    continue  # moved away while we looked, or not ours to read

    def _note(self, name: str, look: Look, before: dict[str, tuple[Look, float]]) -> None:
        known = before.get(name)
        self._seen[name] = known if known is not None and known[0] == look else (look, self.now)

    def still(self, name: str) -> bool:
        """Whether a file that a manifest names is there and has stopped changing. Links count as still: opening refuses them."""
        if name not in self._seen:  # new since the look, or under a name or in a folder that is not looked at
            look = Look.at(self.root / name)
            if look is None:
                return False
            self._seen[name] = (look, self._clock())
        self._asked.add(name)
        return self._still(name)

    def _still(self, name: str) -> bool:
        return self._left(name) <= 0

    def _left(self, name: str) -> float:
        look, since = self._seen[name]
        # Some programs create a file long before they fill it.
        wait = self._settings.empty_wait_s if look.size == 0 else self._settings.settle_s
        return since + wait - self.now

    def next_still(self) -> float | None:
        """Seconds from the last look until the next file has stood still for long enough; None when none is to."""
        return min((left for left in map(self._left, self._seen) if left > 0), default=None)

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)
