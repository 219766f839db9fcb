"""Inboxes that are shares or mounts: they come and go, and no job is lost or taken from the wrong place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import MachineError
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import DETECT, SPEECH, Room


def test_an_inbox_on_another_filesystem_than_the_spool(tmp_path: Path, mounted: Callable[[Path], None]) -> None:
    (tmp_path / "inbox").mkdir()
    mounted(tmp_path / "inbox")
    room = Room(tmp_path)
    room.put("p.png", b"picture")
    room.put("a.yaml", DETECT)
    (job,) = room.settle()
    assert room.copy_of(job) == b"picture"
    assert sorted(path.name for path in room.inbox.iterdir()) == [".avatard", ".claimed", "p.png"]


def test_an_inbox_that_is_not_mounted_is_not_an_empty_one(tmp_path: Path, mounted: Callable[[Path], None]) -> None:
    # Given a share with a waiting manifest
    share, point = tmp_path / "share", tmp_path / "inbox"
    share.mkdir()
    point.mkdir()
    mounted(share)
    subprocess.run(["mount", "--bind", str(share), str(point)], check=True)
    try:
        room = Room(tmp_path)
        room.put("patient.yaml", DETECT)
        room.settle()
        waiting = json.loads((room.outbox / "patient.json").read_bytes())
        # When it is unmounted, while the daemon runs and over a restart; and somebody drops into the empty mount point
        subprocess.run(["umount", str(point)], check=True)
        (point / "lost.yaml").write_text(SPEECH)
        for daemon in (room, Room(tmp_path)):
            with pytest.raises(MachineError) as caught:
                daemon.look()
            assert caught.value.code == "inbox-missing"
            # Then nothing is made or taken there, and nothing is forgotten
            assert [path.name for path in point.iterdir()] == ["lost.yaml"]
            assert json.loads((room.outbox / "patient.json").read_bytes()) == waiting
            assert len(list(room.spool.waiting.iterdir())) == 1
        # When it is back / Then it goes on as if nothing had been
        subprocess.run(["mount", "--bind", str(share), str(point)], check=True)
        daemon.put("p.png", b"x")
        assert [job.id for job in daemon.settle()] == [waiting["job"]]
    finally:
        subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)


@pytest.mark.usefixtures("processes")
def test_an_inbox_that_was_only_emptied_or_made_again_goes_on(room: Room) -> None:
    for path in (room.inbox / ".avatard", room.inbox / ".claimed"):
        path.unlink() if path.is_file() else path.rmdir()
    assert room.settle() == []
    subprocess.run(["rm", "-r", str(room.inbox)], check=True)
    assert room.settle() == []
    room.put("a.yaml")
    assert room.settle_names() == ["a"]


def test_another_folder_in_the_place_of_the_inbox_is_refused_until_a_person_says_so(room: Room) -> None:
    room.inbox.rename(room.inbox.with_name("old"))
    room.inbox.mkdir()
    (room.inbox / ".avatard").write_text("somebody-elses\n")
    room.put("a.yaml")
    with pytest.raises(MachineError, match="another folder"):
        room.look()
    # When an operator marks it as the right one
    (room.inbox / ".avatard").write_text("")
    assert room.settle_names() == ["a"]


def test_an_inbox_that_is_made_again_is_noticed_long_before_the_next_scan(
    installation: Callable[..., Installation],
) -> None:
    # Given a daemon that scans once an hour if nothing is announced
    one = installation(intake={"scan_s": 3600.0})
    one.start()
    one.drop("a.yaml", SPEECH)
    one.finished("a")
    # When the inbox is moved away and made again
    one.inbox.rename(one.inbox.with_name("old"))
    one.inbox.mkdir()
    one.drop("b.yaml", SPEECH)
    # Then what is dropped there is taken
    one.finished("b")


def test_the_daemon_waits_for_its_inbox_and_goes_on_by_itself(
    installation: Callable[..., Installation], mounted: Callable[[Path], None]
) -> None:
    # Given a running daemon whose inbox is a mount, and which drops heartbeats there
    one = installation(intake={"scan_s": 0.5}, heartbeat={"every_s": 0.5})
    mounted(one.inbox)
    one.start()
    one.drop("patient.yaml", DETECT)
    one.reaches("patient", "waiting")
    # When the share goes away / Then it says so, and forgets nothing
    content = {name: (one.inbox / name).read_bytes() for name in (".avatard", "patient.yaml")}
    subprocess.run(["umount", "-l", str(one.inbox)], check=True)
    wait_for("the intake to pause", lambda: any(e["code"] == "inbox-missing" for e in one.events("lane paused")))
    status = one.status("patient")
    assert status is not None
    assert status["state"] == "waiting"
    # And it writes nothing into the empty place
    wait_for("a heartbeat that is not sent", lambda: one.events("heartbeat not sent"))
    assert list(one.inbox.iterdir()) == []
    # When it is back, with the same files / Then the watch is on the new mount and the jobs go on
    mounted(one.inbox)
    (one.inbox / ".claimed").mkdir()
    for name, data in content.items():
        (one.inbox / name).write_bytes(data)
    wait_for("the intake to go on", lambda: one.events("lane resumed"))
    one.drop("bad.yaml", "txt: x\n")
    assert one.finished("bad")["error"]["code"] == "manifest-unknown-key"
    assert one.status("patient") == status
    assert one.stop() == 0


def test_folders_that_are_links_to_another_disk_are_used_as_they_are(tmp_path: Path) -> None:
    # Given an installation whose folders were moved to another place, with links where they were
    for name in ("inbox", "outbox", "spool", "cache"):
        (tmp_path / "large" / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path / "large" / name)
    room = Room(tmp_path)
    room.put("p.png", b"picture")
    room.put("a.yaml", DETECT)
    (job,) = room.settle()
    assert room.copy_of(job) == b"picture"
    assert json.loads((room.outbox / "a.json").read_bytes())["state"] == "queued"
