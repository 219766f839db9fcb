"""Opening what strangers dropped: never through a link, never a device, never outside the folder.

Every part of the path is opened from the directory before it with O_NOFOLLOW, so nothing can be exchanged for a link between
the check and the use.
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
#: O_NONBLOCK: opening a fifo must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def open_inside(root: Path, relative: str) -> Iterator[int]:
    """Open a regular file below `root` for reading; yields the descriptor.

    Raises:
        JobError: `file-missing`, `file-is-link`, `file-not-regular`, `file-unreadable`.
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise JobError("file-outside", f"{relative} is not inside the inbox.", "Name a file next to the manifest.")
    fds: list[int] = []
    try:
        fds.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            fds.append(os.open(part, _DIR, dir_fd=fds[-1]))
        fds.append(os.open(parts[-1], _FILE, dir_fd=fds[-1]))
        info = os.fstat(fds[-1])
        if not stat.S_ISREG(info.st_mode):
            raise JobError("file-not-regular", f"{relative} is not a file.", "Name a picture or sound file.")
        if info.st_nlink > 1:
            raise JobError("file-is-link", f"{relative} is a hard link.", "Copy the file itself into the inbox.")
        yield fds[-1]
    except OSError as exc:
        raise _explain(exc, relative) from exc
    finally:
        for fd in reversed(fds):
            os.close(fd)


def _explain(exc: OSError, relative: str) -> Exception:
    if exc.errno in (errno.ENOENT, errno.ENXIO):
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
