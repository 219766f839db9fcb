"""Copies the files that jobs name, and their manifests, into the jobs' folders. Jobs that name the same unchanged file share one
copy: a burst of thousands of jobs with one portrait, or from one manifest, must not write it thousands of times.

Sharing is a hard link between job directories. It is safe because nobody writes into a copy: stages read it, and clearing a job
removes only its own name. A copy of a file is known by what identifies a content as far as the kernel can tell: device, inode,
size, times. That of a manifest is known by its claim.
"""

from __future__ import annotations

import contextlib
import errno
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from daemon.errors import JobError, Postponed
from daemon.system import fs
from daemon.system.file_key import FileKey, file_key
from daemon.system.safe_open import explain_open_error

#: Copies that are kept at hand for the next job; each holds one file descriptor.
KEPT = 16
#: A file may be written to while it is copied; it is then copied again this often.
TRIES = 3

_CHUNK = 1 << 20  # bytes

#: No job has the copy any more, it has all the names a file can have, or this filesystem has no hard links.
_NOT_SHARED = frozenset({errno.ENOENT, errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS})


class CompanionFiles:
    """Makes the copies, and remembers the last ones for the next jobs.

    Those that are kept at hand are open until `close`, or until this object is gone.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[FileKey | str, int] = OrderedDict()
        self.close = weakref.finalize(self, _close_all, self._kept)
        self.close.atexit = False  # the thread of the inbox may be at work until the process is gone

    def write_manifest(self, claim: str, data: bytes, target: Path, check_room: Callable[[int], None]) -> None:
        """Make `target` the manifest of a claim, whose jobs share one copy. The caller flushes it.

        Args:
            check_room: is asked before so many bytes are written; raises where they do not fit.
        """
        if claim in self._kept and self._share(claim, target):
            return
        check_room(len(data))
        fs.OPS.write(target, data, sync=False)
        self._keep(claim, target)

    def copy_file(
        self, source_fd: int, target: Path, limit: int, name: str, check_room: Callable[[int], None]
    ) -> FileKey:
        """Make `target` a copy of an open file. The caller flushes it.

        Args:
            limit: bytes.
            check_room: is asked before so many bytes are written; raises where they do not fit.

        Returns:
            What identifies the content that was copied.

        Raises:
            JobError: `file-too-large` (over `limit` bytes).
            Postponed: `file-changing`, and what `check_room` raises.
        """
        key = file_key(source_fd)
        if key in self._kept and self._share(key, target):
            return key
        for _ in range(TRIES):
            if key.size > limit:
                raise JobError("file-too-large", f"{name} is larger than {limit // 2**20} MiB.", "Use a smaller file.")
            check_room(key.size)
            self._copy(source_fd, target, key.size, name, check_room)
            if file_key(source_fd) == key:
                self._keep(key, target)
                return key
            fs.remove(target)
            key = file_key(source_fd)
        raise Postponed("file-changing", f"{name} is still written to.", "Drop the manifest again when it is whole.")

    def _copy(self, source_fd: int, target: Path, size: int, name: str, check_room: Callable[[int], None]) -> None:
        try:
            fs.OPS.copy(source_fd, target, size, sync=False)  # what grows past it meanwhile is copied again
        except OSError as exc:
            with contextlib.suppress(OSError):
                fs.remove(target)  # a full disk has no room for half a file
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                check_room(size)  # where it does not fit, it is the file's fault
            elif (error := _read_error(source_fd)) is not None:
                raise explain_open_error(error, name) from exc
            raise

    def _share(self, key: FileKey | str, target: Path) -> bool:
        self._kept.move_to_end(key)
        try:
            fs.OPS.link_open(self._kept[key], target)
        except OSError as exc:
            if exc.errno not in _NOT_SHARED:
                raise
            os.close(self._kept.pop(key))
            return False
        return True

    def _keep(self, key: FileKey | str, copy: Path) -> None:
        self._kept[key] = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if len(self._kept) > KEPT:
            os.close(self._kept.popitem(last=False)[1])

    def forget_unused(self) -> None:
        """Close copies that no job has any more: while open, they take space."""
        for key, fd in list(self._kept.items()):
            if os.fstat(fd).st_nlink == 0:
                os.close(self._kept.pop(key))


def _close_all(kept: OrderedDict[FileKey | str, int]) -> None:
    while kept:
        os.close(kept.popitem()[1])


def _read_error(fd: int) -> OSError | None:
    """Return the error of reading an open file, such as a bad block; None if it can be read: then its copy is at fault."""
    at = 0
    try:
        while chunk := os.pread(fd, _CHUNK, at):
            at += len(chunk)
    except OSError as exc:
        return exc
    return None
