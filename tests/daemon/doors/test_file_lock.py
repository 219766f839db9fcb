"""Turns by a lock file: one at a time, and no file stays."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from daemon.doors.file_lock import hold_lock
from daemon.errors import AvatarError


def test_who_waited_for_a_lock_that_is_removed_holds_one_that_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one who holds a lock, and another who waits for it
    path, waits, goes_on = tmp_path / "run.lock", threading.Event(), threading.Event()
    holds, ends = threading.Event(), threading.Event()

    flock = fcntl.flock

    def flock_late(fd: int, how: int) -> None:
        if how == fcntl.LOCK_EX:
            waits.set()
            assert goes_on.wait(60)
        flock(fd, how)

    def second() -> None:
        with hold_lock(path, remove=True):
            holds.set()
            assert ends.wait(60)

    with hold_lock(path, remove=True):
        monkeypatch.setattr(fcntl, "flock", flock_late)
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
    # When the first ends, which removes the file
    assert not path.exists()
    goes_on.set()
    # Then the second holds a new one, and a third has to wait
    assert holds.wait(60)
    with pytest.raises(AvatarError, match="not finished"), hold_lock(path, deadline=0.0):
        pass
    # And at the end no file is left
    ends.set()
    thread.join(60)
    assert not path.exists()
