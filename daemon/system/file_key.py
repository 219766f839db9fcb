"""Identifies the content of a file, to detect changes."""

from __future__ import annotations

import os
from typing import NamedTuple


class FileKey(NamedTuple):
    """Identifies a file and its content by what the kernel reports: two equal keys mean the same content."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> FileKey:
        """Return the key of the file of which `info` was read."""
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def file_key(fd: int) -> FileKey:
    """Return the key of an open file."""
    return FileKey.of(os.fstat(fd))
