"""Copies of the files that jobs name. Jobs that name the same unchanged file share one copy: a burst of thousands of jobs with
one portrait must not write it thousands of times.

Sharing is a hard link between job directories. It is safe because nobody writes into a copy: stages read it, and clearing a job
removes only its own name. A copy is known by what identifies a content as far as the kernel can tell: device, inode, size, times.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from pathlib import Path

from daemon import fs
from daemon.errors import JobError

#: Copies that are kept at hand for the next job; each holds one file descriptor.
KEPT = 16
#: A file may be written to while it is copied; it is then copied again this often.
TRIES = 3

#: No job has the copy any more, it has all the names a file can have, or this filesystem has no hard links.
_NOT_SHARED = frozenset({errno.ENOENT, errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS})

_Key = tuple[int, int, int, int, int]


class Snapshots:
    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, int] = OrderedDict()

    def take(self, source_fd: int, target: Path, limit: int, name: str) -> None:
        """Make `target` a copy of an open file. The caller flushes it.

        Raises:
            JobError: `file-too-large` (over `limit` bytes), `file-changing`.
        """
        key = _key(source_fd)
        if key in self._kept and self._share(key, target):
            return
        for _ in range(TRIES):
            if fs.OPS.copy(source_fd, target, limit, sync=False) > limit:
                raise JobError("file-too-large", f"{name} is larger than {limit // 2**20} MiB.", "Use a smaller file.")
            if _key(source_fd) == key:
                self._keep(key, target)
                return
            fs.remove(target)
            key = _key(source_fd)
        raise JobError("file-changing", f"{name} was written to while it was read.", "Drop the manifest again.")

    def _share(self, key: _Key, target: Path) -> bool:
        self._kept.move_to_end(key)
        try:
            fs.OPS.link_open(self._kept[key], target)
        except OSError as exc:
            if exc.errno not in _NOT_SHARED:
                raise
            os.close(self._kept.pop(key))
            return False
        return True

    def _keep(self, key: _Key, copy: Path) -> None:
        self._kept[key] = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if len(self._kept) > KEPT:
            os.close(self._kept.popitem(last=False)[1])

    def forget_unused(self) -> None:
        """Let go of copies that no job has any more: held open, they would still take their space."""
        for key, fd in list(self._kept.items()):
            if os.fstat(fd).st_nlink == 0:
                os.close(self._kept.pop(key))


def _key(fd: int) -> _Key:
    info = os.fstat(fd)
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
