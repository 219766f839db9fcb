"""Many drops at once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.system import file_calls
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.intake import DETECT, Room
from tests.support.daemon.watched_folder import kept_notifications


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
    # Given a daemon that cannot read its notifications, more of them than the kernel keeps for it, and then drops
    one = installation(intake={"scan_s": 30.0})
    one.start()
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{one.process.pid}/task")  # all of them: one that still read would make room
    wait_for("a standstill", lambda: all(") T " in (each / "stat").read_text() for each in threads.iterdir()))
    for number in range(kept_notifications() // 3 + 10):  # made, opened, closed
        (one.inbox / f".{number}").touch()
    wanted = {f"j{number}.json" for number in range(100)}
    for name in wanted:
        (one.inbox / name).with_suffix(".yaml").write_text("kind: detect\nimage: .hidden\n")
    one.process.send_signal(signal.SIGCONT)
    # Then every drop is answered once
    wait_for("all answers", lambda: wanted <= {path.name for path in one.outbox.iterdir()})
    assert "overflow" in one.log.read_text()
    answers = {path.name: json.loads(path.read_bytes())["error"]["code"] for path in one.outbox.glob("j*.json")}
    assert answers == dict.fromkeys(wanted, "manifest-invalid")
    assert one.stop() == 0


def test_a_burst_is_taken_with_a_few_flushes_for_each_batch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a burst of four batches, whose flushes are counted
    flushes: list[Path] = []
    monkeypatch.setattr("daemon.intake.admission.BATCH", 16)
    monkeypatch.setattr(file_calls, "_sync", lambda path, flags: flushes.append(path))
    monkeypatch.setattr(file_calls, "_sync_filesystem", flushes.append)
    room.put("p.png", PORTRAIT.read_bytes())
    for number in range(64):
        room.put(f"j{number}.yaml", DETECT)
    # Then the flushes go with the batches, not with the jobs
    assert len(room.settle()) == 64
    assert len(flushes) <= 4 * 9
