"""Describes what one look at the inbox finds: a manifest, and what a file looked like."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """What a file looked like: size in bytes, times in ns. `ctime_ns` shows a write that hides its time, as file servers can."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    uid: int

    @classmethod
    def of(cls, info: os.stat_result) -> Look:
        """Return what a file looked like when `info` was read. What is no regular file has the size -1."""
        size = info.st_size if stat.S_ISREG(info.st_mode) else -1
        return cls(info.st_ino, size, info.st_mtime_ns, info.st_ctime_ns, info.st_uid)

    @classmethod
    def at(cls, path: str | Path) -> Look | None:
        """Return what the file at `path` looks like now, a link itself; None if there is none."""
        try:
            return cls.of(os.lstat(path))
        except (OSError, ValueError):
            return None

    def same_content(self, other: Look | None) -> bool:
        """Return whether it is the same file with the same content; its name, and with it `ctime_ns`, may have changed."""
        return other is not None and self[:3] == other[:3]


@dataclass(frozen=True)
class Drop:
    """A manifest in the inbox.

    Attributes:
        name: its path below the inbox.
        settled: it has stopped changing, or a door says that it is whole.
        job: id that a door gave its job; empty where no door handed it in.
        by: who handed it in, where that is not its owner.
    """

    name: str
    look: Look
    settled: bool
    job: str = ""
    by: str = ""

    @property
    def stem(self) -> str:
        """Its file name without folders and ending."""
        return os.path.splitext(os.path.basename(self.name))[0]
