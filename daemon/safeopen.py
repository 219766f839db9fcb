"""Opening what strangers dropped: never through a link, never a device, never outside the folder.

Every part of the path is looked up from the directory before it with O_NOFOLLOW, so nothing can be exchanged for a link between
the check and the use. The file itself is first only pointed at (O_PATH), which wakes no device and waits for no pipe, and opened
for reading when it has proved to be a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import JobError

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_POINT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def open_inside(root: Path, relative: str) -> Iterator[int]:
    """Open a regular file below `root` for reading; yields the descriptor.

    Raises:
        JobError: `file-outside`, `file-missing`, `file-is-link`, `file-not-regular`, `file-unreadable`.
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise JobError("file-outside", f"{relative} is not inside the inbox.", "Name a file next to the manifest.")
    try:
        fd = _open(root, parts, relative)
    except OSError as exc:
        raise _explain(exc, relative) from exc
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root: Path, parts: list[str], relative: str) -> int:
    way: list[int] = []
    try:
        way.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            way.append(os.open(part, _DIR, dir_fd=way[-1]))
        way.append(os.open(parts[-1], _POINT, dir_fd=way[-1]))
        info = os.fstat(way[-1])
        if stat.S_ISLNK(info.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not stat.S_ISREG(info.st_mode):
            raise JobError("file-not-regular", f"{relative} is not a file.", "Name a picture or sound file.")
        if info.st_nlink > 1:
            raise JobError("file-is-link", f"{relative} is a hard link.", "Copy the file itself into the inbox.")
        return os.open(f"/proc/self/fd/{way[-1]}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in reversed(way):
            os.close(fd)


def _explain(exc: OSError, relative: str) -> Exception:
    if exc.errno == errno.ENOENT:
        return JobError("file-missing", f"{relative} is not there.", "Put it next to the manifest.")
    if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return JobError(
            "file-is-link", f"{relative} is a link, or lies behind one.", "Copy the file itself into the inbox."
        )
    if exc.errno in (errno.EACCES, errno.EPERM):
        return JobError(
            "file-unreadable", f"{relative} may not be read by the service.", "Give its group the right to read it."
        )
    if exc.errno == errno.ENAMETOOLONG:
        return JobError("file-missing", f"{relative[:60]}… is too long for a file name.", "Shorten the name.")
    return exc
