"""Locks the spool for one daemon with flock(2), and tells who holds the lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from daemon.errors import UnavailableError

TRIES, TRY_S = 20, 0.05


class SpoolLock:
    """The lock that a daemon holds while it runs. The kernel releases it when the process ends, in any way."""

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
            raise UnavailableError(
                "spool-locked",
                f"Another daemon uses this spool: process {owner.get('pid', '?')} on {owner.get('host', '?')}.",
                "Stop that daemon first, or set another paths.spool.",
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
        with contextlib.suppress(OSError):  # the lock is held even if a full disk prevents the record
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _try_lock(fd: int) -> bool:
    """Try to take the lock; True if taken. `lock_holder` takes it for an instant, so this retries for a second."""
    for _ in range(TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TRY_S)
        else:
            return True
    return False


def lock_holder(path: Path) -> dict[str, Any] | None:
    """Return the record of the process that holds the lock (`pid`, `host`, `since`, `boot`); None if it is free.

    Raises:
        PermissionError: the lock file cannot be opened.
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
