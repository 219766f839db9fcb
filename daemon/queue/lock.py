"""One daemon per spool: a flock that dies with its process, and says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError

TRIES, TRY_S = 20, 0.05


class SpoolLock:
    """Held from start to end of the daemon. The kernel gives it back however the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AvatarError: `spool-locked`, naming the holder.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        if not _try_lock(fd):
            os.close(fd)
            owner = lock_holder(self.path) or {}
            raise AvatarError(
                "spool-locked",
                f"Another daemon uses this spool: process {owner.get('pid', '?')} on {owner.get('host', '?')}.",
                "Stop it first, or give this one a spool of its own.",
            )
        boot = Path("/proc/sys/kernel/random/boot_id")
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.time(),
            "boot": boot.read_text().strip() if boot.exists() else "",
        }
        self._fd = fd
        data = json.dumps(record).encode()
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _try_lock(fd: int) -> bool:
    """Whether the lock could be had. Who only asks for its holder has it for an instant, so a few tries are made."""
    for _ in range(TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TRY_S)
        else:
            return True
    return False


def lock_holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock now; None when nobody does.

    Raises:
        PermissionError: it cannot be told.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_record(fd)
    else:
        return None
    finally:
        os.close(fd)


def _read_record(fd: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
