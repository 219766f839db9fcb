"""A folder for a process to work in, which is known to be litter once that process has ended, however it did.

Its maker holds a lock on it. The kernel gives the lock up when the process ends, also by SIGKILL, and whoever makes the next
folder there clears those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from daemon.system import fs


class WorkDir:
    """A new folder below `root`, or below the system's folder for such things where `root` is not ours to write to."""

    def __init__(self, root: Path, name: str) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _root_locked(root):
                _remove_unlocked(root)
                self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
                fd = _locked(self.path)
        except PermissionError:
            self.path = Path(tempfile.mkdtemp(prefix=f"avatar-{name}-"))
            fd = _locked(self.path)
        #: Removes it: when it is called, or at the end of the process.
        self.close = weakref.finalize(self, _remove, self.path, fd)


def _remove(folder: Path, fd: int) -> None:
    with contextlib.suppress(OSError):
        fs.remove(folder)
    os.close(fd)


@contextlib.contextmanager
def _root_locked(root: Path) -> Iterator[None]:
    """So that no folder is taken for litter between its making and its locking."""
    fd = _locked(root)
    try:
        yield
    finally:
        os.close(fd)


def _locked(folder: Path, how: int = fcntl.LOCK_EX) -> int:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove_unlocked(root: Path) -> None:
    for folder in root.iterdir():
        with contextlib.suppress(OSError):  # somebody works in it
            fd = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fs.remove(folder)
            finally:
                os.close(fd)
