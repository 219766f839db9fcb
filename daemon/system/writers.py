"""Asks the kernel whether somebody has a file open for writing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

from daemon.errors import JobError
from daemon.system.safe_open import open_file_below


def is_written(fd: int) -> bool | None:
    """Return whether somebody has a file open for writing, or mapped; None where this process may not know.

    The kernel gives a read lease only on a file that nobody has open for writing, and only to its owner or to a process with
    CAP_LEASE. The lease is given back at once: who opens the file meanwhile waits for less than a millisecond.

    Args:
        fd: the file, open for reading only.
    """
    try:
        # The kernel may tell of somebody who opens the file meanwhile. Its usual signal would end this process; this one does
        # nothing.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as exc:  # else the file is another user's, or its filesystem has no leases
        return True if exc.errno == errno.EAGAIN else None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def is_written_below(folder_fd: int, relative: str, *, leased: bool | None = True) -> bool | None:
    """As `is_written`, of a path below an open folder; None as well where it is no regular file that can be opened.

    Args:
        leased: the answer where somebody holds a write lease, so that it cannot be opened.
    """
    try:
        fd = open_file_below(folder_fd, relative)
    except BlockingIOError:
        return leased
    except (OSError, JobError):
        return None
    try:
        return is_written(fd)
    finally:
        os.close(fd)
