"""Lets processes take turns by a lock file, which goes when nobody needs it any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import UnavailableError

#: How often whoever waits until a time looks whether the lock is free, in s.
_LOOK_S = 0.2


@contextlib.contextmanager
def hold_lock(path: Path, deadline: float | None = None, *, remove: bool = False) -> Iterator[None]:
    """Hold a lock file while others wait.

    Args:
        deadline: when to give up, monotonic, in s; None: never.
        remove: the file goes at the end. Who waited for it then takes a new one.

    Raises:
        AvatarError: `answer-late`.
    """
    fd = _lock(path, deadline)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)  # while it is locked: nobody else can hold the file that is there
        os.close(fd)


def _lock(path: Path, deadline: float | None) -> int:
    """Return the file that is at `path`, open and locked."""
    while True:
        fd = _open(path)
        try:
            _wait(fd, deadline)
            if _is_at(fd, path):
                kept, fd = fd, -1
                return kept
        finally:
            if fd >= 0:
                os.close(fd)


def _wait(fd: int, deadline: float | None) -> None:
    if deadline is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    "answer-late", "Another run in the foreground is not finished.", "Call again later."
                ) from None
            time.sleep(_LOOK_S)


def _is_at(fd: int, path: Path) -> bool:
    """Return whether an open file is still there: whoever held it may have removed it, and then it keeps nobody out."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    return False


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC  # in /tmp, another user's file may not be opened to be created
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
