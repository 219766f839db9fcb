"""Many drops at once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.system import fs
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.intake_room import DETECT, Room

ROOT = os.geteuid() == 0


def test_jobs_with_one_unchanged_picture_share_one_copy_that_lives_as_long_as_any_of_them(room: Room) -> None:
    # Given many jobs with the same picture
    room.put("p.png", b"picture")
    for number in range(5):
        room.put(f"{number}.yaml", DETECT)
    jobs = room.settle()
    inodes = {(room.spool.folder_of(job) / "source.image").stat().st_ino for job in jobs}
    # Then it was written once; and clearing all jobs but one leaves it to that one, and to the next
    assert len(inodes) == 1
    for job in jobs[:-1]:
        (room.spool.folder_of(job) / "source.image").unlink()
    room.put("more.yaml", DETECT)
    (more,) = room.settle()
    assert room.copy_of(jobs[-1]) == room.copy_of(more) == b"picture"
    for job in (jobs[-1], more):
        (room.spool.folder_of(job) / "source.image").unlink()
    room.put("last.yaml", DETECT)
    (last,) = room.settle()
    assert room.copy_of(last) == b"picture"


def test_a_burst_that_overflows_the_notifications_is_found_whole(installation: Callable[..., Installation]) -> None:
    # Given a daemon that cannot read its notifications, and more drops than they can hold
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text() if ROOT and os.access(limit, os.W_OK) else None
    count = 400 if before else int(limit.read_text()) + 500
    try:
        if before:
            limit.write_text("64")  # read when a watch is made
        one = installation(intake={"scan_s": 30.0})
        one.start()
    finally:
        if before:
            limit.write_text(before)
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    for number in range(count):
        (one.inbox / f"j{number}.yaml").write_text("kind: detect\nimage: .hidden\n")
    one.process.send_signal(signal.SIGCONT)
    # Then every one of them is answered
    wait_for("all answers", lambda: len(list(one.outbox.glob("j*.json"))) == count)
    assert "overflow" in one.log.read_text()
    assert {json.loads(path.read_bytes())["error"]["code"] for path in one.outbox.glob("j*.json")} == {
        "manifest-invalid"
    }
    assert one.stop() == 0


def test_a_burst_is_taken_with_a_few_flushes_for_each_batch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a burst of four batches, whose flushes are counted
    flushes: list[Path] = []
    monkeypatch.setattr(fs, "_sync", lambda path, flags: flushes.append(path))
    monkeypatch.setattr(fs, "_sync_filesystem", flushes.append)
    room.put("p.png", PORTRAIT.read_bytes())
    for number in range(256):
        room.put(f"j{number}.yaml", DETECT)
    # Then the flushes go with the batches, not with the jobs
    assert len(room.settle()) == 256
    assert len(flushes) <= 4 * 9
