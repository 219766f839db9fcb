"""Lets whoever reads the index wait for what the daemon knew when the question was asked.

The index is written some milliseconds after an event, many events in one transaction. The file `freshness` beside it holds two
numbers of 8 bytes each: how many changes were noted, and how many of them are written. A reader that sees fewer written ones
waits for them, so that a job whose status says `done` is nowhere still called running.

A daemon that writes the index holds a lock on the file, which the system takes away when it ends in any way. So whoever reads
knows that it is there, also where the two see different names of this run of the kernel, as in and outside a unit in a container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path

FILE = "freshness"
#: Longest wait for the last changes, in s: the index may be in repair, or its daemon was killed.
LONGEST_WAIT_S = 1.0
_LOOK_S = 0.005
_NUMBERS = struct.Struct("<QQ")
_ONE = struct.Struct("<Q")


class FreshnessFile:
    """Written by the daemon alone. Where the disk refuses it, readers do not wait, which is all that is lost."""

    def __init__(self) -> None:
        self.noted = 0
        self._descriptor = -1
        self._held = False

    def open(self, folder: Path) -> None:
        """Begin anew in the folder of the index.

        Raises:
            OSError: the file cannot be made.
        """
        self.close()
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        os.pwrite(descriptor, _NUMBERS.pack(self.noted, self.noted), 0)
        self._descriptor = descriptor

    def hold(self) -> None:
        """Tell readers that a daemon writes the index, which it has found to be whole; nothing where that is told already."""
        if self._descriptor >= 0 and not self._held:
            with contextlib.suppress(OSError):  # somebody who reads looks just now: the next time
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._held = True

    def note(self) -> None:
        """Count a change that is not written yet."""
        self.noted += 1
        self._put(self.noted, 0)

    def written(self, number: int) -> None:
        """Tell that the first `number` changes are written."""
        self._put(number, _ONE.size)

    def close(self) -> None:
        """Let the file go."""
        descriptor, self._descriptor, self._held = self._descriptor, -1, False
        if descriptor >= 0:
            os.close(descriptor)

    def _put(self, number: int, place: int) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _ONE.pack(number), place)


def wait_for_noted_changes(folder: Path, longest_s: float = LONGEST_WAIT_S) -> None:
    """Wait until what was noted when this began is written, `longest_s` seconds at most; not at all where no file tells."""
    numbers = _read(folder)
    if numbers is None or numbers[1] >= numbers[0]:
        return
    noted, deadline = numbers[0], time.monotonic() + longest_s
    while numbers is not None and numbers[1] < noted and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        numbers = _read(folder)


def is_held(folder: Path) -> bool:
    """Return whether a daemon that lives writes the index and has found it to be whole."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _read(folder: Path) -> tuple[int, int] | None:
    try:
        data = (folder / FILE).read_bytes()
    except OSError:
        return None
    return _NUMBERS.unpack(data) if len(data) == _NUMBERS.size else None
