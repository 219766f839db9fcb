"""What tells whether a file has still the content it had."""

from __future__ import annotations

import os
from typing import NamedTuple


class FileKey(NamedTuple):
    """What identifies a content as far as the kernel can tell."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def file_key(fd: int) -> FileKey:
    """The key of an open file."""
    info = os.fstat(fd)
    return FileKey(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
