"""Keeps two processes from running the same hooks, and tells whether one does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from daemon.errors import UnavailableError

LOCK: Final = "lock"
#: So often, and at such an interval in s, the lock is asked for.
_TRIES, _TRY_S = 10, 0.1


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from running the hooks of this folder, too.

    Raises:
        AvatarError: `hooks-running`: one does already.
    """
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
    try:
        try:
            _take(fd)
        except BlockingIOError:
            raise UnavailableError(
                "hooks-running",
                "The hooks run already, in another process.",
                "Stop that one first: `systemctl stop avatard-hooks`.",
            ) from None
        yield
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    """Take the lock. `is_running` holds it for a moment, so it is tried a few times.

    Raises:
        BlockingIOError: another process holds it.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_TRY_S)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_running(folder: Path) -> bool:
    """Return whether a process runs the hooks of a folder.

    Raises:
        OSError: it cannot be told.
    """
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
