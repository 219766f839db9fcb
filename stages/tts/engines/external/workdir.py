"""Creates a working folder that is deleted after its process has ended, even by SIGKILL.

The process holds a lock on its folder, which the kernel releases when the process ends. Whoever creates the next folder
deletes those that are not locked.
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
    """A new, locked folder below `root`, or in the system's temporary folder where `root` is not writable."""

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
        #: Deletes the folder when called, or at the end of the process.
        self.close = weakref.finalize(self, _remove, self.path, fd)


def _remove(folder: Path, fd: int) -> None:
    with contextlib.suppress(OSError):
        fs.remove(folder)
    os.close(fd)


@contextlib.contextmanager
def _root_locked(root: Path) -> Iterator[None]:
    """Hold a lock on `root`, so that no new folder is deleted before it is locked."""
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
        with contextlib.suppress(OSError):  # in use
            fd = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fs.remove(folder)
            finally:
                os.close(fd)
