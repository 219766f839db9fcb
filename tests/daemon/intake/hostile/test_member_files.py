"""What one member of the drop group can do with files of their own: it costs the others nothing, and reaches nothing outside."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.errors import MachineError
from daemon.queue.free_space import available_bytes
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import COMPANION_WAIT_S, DETECT, SETTLE_S, SPEECH, Room
from tests.support.machine.disk import Disk
from tests.support.machine.leases import leased

# -- leases -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processes")
def test_a_manifest_under_a_lease_waits_alone_and_is_taken_when_it_is_let_go(room: Room) -> None:
    # Given manifests that their owner holds by leases, any of which would hold an open for 45 s
    held = [room.put(f"held{number}.yaml") for number in range(5)]
    room.put("free.yaml")
    with leased(*held):
        # Then the others are taken at once, and the status of these says why they wait
        assert [job.name for job in room.settle()] == ["free"]
        assert room.status("held0")["state"] == "waiting"
        assert "Close that program" in str(room.status("held0")["warnings"])
    # When they are let go / Then they are taken
    assert sorted(job.name for job in room.look(SETTLE_S)) == [f"held{number}" for number in range(5)]


@pytest.mark.usefixtures("processes")
def test_a_picture_under_a_lease_is_tried_again_and_fails_alone_when_its_time_is_over(room: Room) -> None:
    picture = room.put("p.png", b"picture")
    room.put("a.yaml", DETECT)
    room.put("b.yaml")
    with leased(picture):
        assert [job.name for job in room.settle()] == ["b"]
        assert room.look(COMPANION_WAIT_S / 2) == []
        room.look(COMPANION_WAIT_S)
        room.look(COMPANION_WAIT_S)
    error = room.status("a")["error"]
    assert isinstance(error, dict)
    assert error["code"] == "file-changing"
    assert list((room.inbox / ".claimed").iterdir()) == []


@pytest.mark.parametrize("broken", ["p.png", "a.yaml"])
def test_a_file_that_cannot_be_read_waits_alone_and_fails_by_name(
    room: Room, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    # Given a picture, or a manifest, on a block of the disk that has gone bad
    inode = room.put("p.png", b"picture").stat().st_ino
    manifest = room.put("a.yaml", DETECT)
    inode = manifest.stat().st_ino if broken == "a.yaml" else inode

    def spoilt(real: Callable[..., bytes]) -> Callable[..., bytes]:
        def read(fd: int, *more: int) -> bytes:
            if os.fstat(fd).st_ino == inode:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(fd, *more)

        return read

    monkeypatch.setattr(os, "read", spoilt(os.read))
    monkeypatch.setattr(os, "pread", spoilt(os.pread))
    # Then the others are taken, now and later
    room.put("b.yaml")
    assert [job.name for job in room.settle()] == ["b"]
    room.put("c.yaml")
    assert [job.name for job in room.settle()] == ["c"]
    # And when its time is over, it fails and says so
    room.look(COMPANION_WAIT_S)
    room.look(COMPANION_WAIT_S)
    error = room.status("a")["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["fault"]) == ("file-unreadable", "machine")
    assert broken in error["message"]


def test_the_loop_turns_while_an_inbox_does_not_answer(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a daemon whose look at the inbox hangs, as on a file server that went away
    stuck = tmp_path / "stuck"
    (tmp_path / "sitecustomize.py").write_text(HANG.format(stuck=str(stuck)))
    one = installation(intake={"scan_s": 0.2})
    one.environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    one.drop("a.yaml", "kind: detect\nimage: late.png\n")
    one.start()
    one.reaches("a", "waiting")
    stuck.touch()
    wait_for("the look to hang", lambda: (tmp_path / "stuck.reached").exists())
    # Then the loop goes on turning, requests about jobs are answered, and SIGTERM is heard
    before = turns(one)
    wait_for("more turns", lambda: turns(one) > before + 2)
    one.avatar("pause", "--reason", "to see")
    assert one.stop() == 0


HANG = """
import os, sys, time
if "daemon" in sys.orig_argv:
    import pathlib
    scandir, stuck = os.scandir, pathlib.Path({stuck!r})
    def hanging(path="."):
        if isinstance(path, int) and stuck.exists():
            stuck.with_suffix(".reached").touch()
            while True:
                time.sleep(3600)
        return scandir(path)
    os.scandir = hanging
"""


def turns(one: Installation) -> float:
    """How often the daemon's loop has turned."""
    return one.metric("avatar_loop_turns_total")


# -- room --------------------------------------------------------------------------------------------------------


def test_files_that_do_not_fit_wait_alone_and_fail_by_name(disk: Callable[[int], Disk]) -> None:
    # Given a small disk, and a manifest that names more than fits beside its reserve
    room = Room(disk(64).root, reserve_mb=20)
    room.look()
    with (room.inbox / "huge.png").open("wb") as file:
        file.truncate(500 * 10**6)
    room.put("many.yaml", "\n---\n".join(["kind: detect\nimage: huge.png"] * 10))
    room.put("p.png", b"picture")
    room.put("small.yaml", DETECT)
    # Then the others are taken, and this one's status says how much is missing
    assert [job.name for job in room.settle()] == ["small"]
    assert "does not fit" in str(room.status("many")["warnings"])
    room.put("later.yaml", DETECT)
    assert [job.name for job in room.settle()] == ["later"]
    room.admission.check_room()
    # When its time is over / Then it fails, and says that it was the machine's room
    room.look(COMPANION_WAIT_S)
    error = room.status("many-1")["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["fault"]) == ("no-room", "machine")
    room.admission.check_room()


def test_a_disk_below_its_reserve_still_stops_the_intake(tmp_path: Path) -> None:
    room = Room(tmp_path, reserve_mb=10**9)
    with pytest.raises(MachineError, match="in reserve"):
        room.admission.check_room()


def test_jobs_of_one_manifest_share_its_copy_and_never_use_the_reserve(disk: Callable[[int], Disk]) -> None:
    # Given a disk with room for a few copies of manifests beside its reserve, and not for all of their jobs
    small = disk(16)
    room = Room(small.root, reserve_mb=1, max_manifest_bytes=2**20)
    room.look()
    documents = "---\n".join([SPEECH] * 50)
    for number in range(6):
        room.put(f"many{number}.yaml", documents + "#" * (250_000 - len(documents)))
    small.fill(leave_kb=2300)
    # Then they become jobs as far as there is room beside the reserve, each with the whole manifest
    room.settle()
    for _ in range(3):
        room.look(SETTLE_S)
    assert available_bytes(room.settings) >= 0
    copies = list(room.spool.root.rglob("manifest.yaml"))
    assert 50 <= len(copies) < 300
    assert {copy.stat().st_size for copy in copies} == {250_000}
    assert len({copy.stat().st_ino for copy in copies}) < len(copies) / 20


# -- a thread for it all -----------------------------------------------------------------------------------------


def test_no_file_of_peoples_is_touched_in_the_loop(installation: Callable[..., Installation], tmp_path: Path) -> None:
    # Given a daemon that notes every file of the inbox which its main thread opens, renames or reads
    touched = tmp_path / "touched"
    (tmp_path / "sitecustomize.py").write_text(AUDIT.format(log=str(touched)))
    one = installation(intake={"companion_wait_s": 0.5})
    one.environment |= {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "AUDITED": str(one.inbox),
    }
    one.start()
    # When drops of every kind go through it
    one.drop("a.yaml", "kind: detect\nimage: p.png\n", p__png=b"no picture")
    one.drop("b.yaml", "kind: detect\nimage: missing.png\n")
    one.drop("c.yaml", "kind: detect\nimage: .hidden\n")
    (one.inbox / "b.cancel").touch()
    (one.inbox / "nobody.hold").touch()
    for name in ("a", "b", "c"):
        one.finished(name)
    wait_for("the answer", lambda: (one.outbox / "nobody.hold.txt").exists())
    assert one.stop() == 0
    # Then none was touched there
    assert touched.read_text().splitlines() == ["began"]


AUDIT = """
import os, sys, threading
if "daemon" in sys.orig_argv:
    log = os.open({log!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(log, b"began\\n")
    inbox = os.environ["AUDITED"]
    def audit(event, args):
        if event not in ("open", "os.rename", "os.remove", "os.link", "os.scandir", "os.listdir", "os.mkdir"):
            return
        if threading.current_thread() is not threading.main_thread():
            return
        for arg in args[:2]:
            if isinstance(arg, (str, os.PathLike)) and os.fspath(arg).startswith(inbox + "/") and ".avatard" not in str(arg):
                os.write(log, f"{{event}} {{arg}}\\n".encode())
    sys.addaudithook(audit)
"""


# -- pauses --------------------------------------------------------------------------------------------


def test_who_makes_the_intake_fail_cannot_make_it_fail_without_end(
    installation: Callable[..., Installation],
) -> None:
    # Given an intake that fails at each try
    one = installation(intake={"scan_s": 60.0})
    one.start()
    claimed = one.inbox / ".claimed"
    wait_for("the first look", claimed.exists)
    if subprocess.run(["chattr", "+i", str(claimed)], capture_output=True, check=False).returncode:
        pytest.skip("no folder can be made immutable here")
    try:
        # When somebody goes on changing things in the inbox while the loop turns
        (one.inbox / "a.yaml").write_text(SPEECH)
        wait_for("the intake to pause", lambda: one.events("lane paused"))
        before, touched = one.metric("avatar_loop_turns_total"), 0
        while one.metric("avatar_loop_turns_total") < before + 6 or len(one.events("lane paused")) < 3:
            (one.inbox / f"{touched}.txt").touch()
            touched += 1
        # Then it is tried again after growing delays and not before, and its pause is shown
        pauses = [
            (event["again_in_s"], datetime.fromisoformat(event["timestamp"])) for event in one.events("lane paused")
        ]
        delays = [delay for delay, _ in pauses]
        assert delays == sorted(delays)
        assert delays[0] < delays[-1]
        assert all((end - begin).total_seconds() >= delay for (delay, begin), (_, end) in pairwise(pauses))
        assert any("claims-unusable" in str(event) for event in one.events("lane paused"))
    finally:
        subprocess.run(["chattr", "-i", str(claimed)], check=True)
    assert one.finished("a")["state"] in ("done", "failed")
    assert one.stop() == 0
