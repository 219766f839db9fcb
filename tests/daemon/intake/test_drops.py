"""Drops as they really come: from copies, synchronisers, shares that come and go, and bursts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import MachineError
from daemon.system import file_calls
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.intake_room import DETECT, SETTLE_S, SPEECH, Room

ROOT = os.geteuid() == 0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path)
    one.look()
    return one


def names(room: Room) -> list[str]:
    return [job.name for job in room.settle()]


# -- copies and synchronisers ------------------------------------------------------------------------------------


def test_a_slow_copy_is_taken_when_it_is_whole(room: Room) -> None:
    # Given a manifest that arrives in pieces, each looking like a whole one
    text = "kind: speech\ntext: One.\n---\nkind: speech\ntext: Two.\n"
    path = room.inbox / "slow.yaml"
    with path.open("w") as file:
        for piece in (text[:25], text[25:40], text[40:]):
            file.write(piece)
            file.flush()
            assert room.look(SETTLE_S * 0.9) == []
    # Then it is taken with everything in it, once it has stood still
    assert [job.manifest["text"] for job in room.look(SETTLE_S)] == ["One.", "Two."]


def test_a_picture_that_is_still_copied_holds_its_manifest_back_however_long_it_takes(tmp_path: Path) -> None:
    # Given a picture that grows for longer than missing files are waited for
    room = Room(tmp_path, companion_wait_s=0.0)
    room.look()
    room.put("a.yaml", DETECT)
    with (room.inbox / "p.png").open("wb") as file:
        for _ in range(20):
            file.write(b"x" * 1000)
            file.flush()
            assert room.look(SETTLE_S * 0.9) == []
    assert json.loads((room.outbox / "a.json").read_bytes())["waiting_for"] == ["p.png"]
    # Then the job has all of it
    (job,) = room.look(SETTLE_S)
    assert room.copy_of(job) == b"x" * 20_000


@pytest.mark.parametrize(
    "temporary",
    [
        ".{}.Xk3f9Z",
        ".syncthing.{}.tmp",
        "{}.part",
        "{}.filepart",
        "{}.crdownload",
        "~$" + "{}",
        "{}~",
        ".goutputstream-{}",
    ],
)
def test_temporary_names_are_left_alone_until_the_rename(room: Room, temporary: str) -> None:
    # Given the names rsync, Syncthing, browsers and editors write under
    path = room.put(temporary.format("hello.yaml"))
    assert names(room) == []
    # When the file gets its name / Then it is taken
    path.rename(room.inbox / "hello.yaml")
    assert names(room) == ["hello"]


def test_a_copy_that_syncthing_made_of_a_conflict_is_no_new_job(room: Room) -> None:
    room.put("hello.sync-conflict-20260102-030405-ABCDEFG.yaml")
    assert names(room) == []


def test_a_file_made_empty_and_filled_later_is_read_filled(room: Room) -> None:
    # Given what SMB clients and printers do: create, and fill after a while
    path = room.put("smb.yaml", b"")
    assert [*room.look(), *room.look(SETTLE_S), *room.look(20.0)] == []
    path.write_text(SPEECH)
    # Then the empty file was not taken for the whole
    (job,) = room.settle()
    assert (job.state, job.manifest["text"]) == ("queued", "Hello.")


def test_a_write_that_sets_the_times_back_is_seen(room: Room) -> None:
    # Given a writer that reserves the size first and keeps the time the file had at home
    path = room.put("a.yaml", SPEECH.encode())
    os.utime(path, ns=(10**18, 10**18))
    room.look()
    room.now += SETTLE_S * 0.9
    path.write_bytes(SPEECH.replace("Hello", "World").encode())
    os.utime(path, ns=(10**18, 10**18))
    assert room.look() == []
    assert room.look(SETTLE_S * 0.5) == []
    # Then it is taken a settle time after the last write
    assert [job.manifest["text"] for job in room.look(SETTLE_S * 0.5)] == ["World."]


def test_a_directory_moved_in_is_taken_with_its_pictures_and_in_its_own_names(room: Room, tmp_path: Path) -> None:
    # Given a folder with manifests and pictures, one level and two levels deep
    away = tmp_path / "away"
    (away / "deep").mkdir(parents=True)
    for folder, content in ((away, b"upper"), (away / "deep", b"lower")):
        (folder / "job.yaml").write_text(DETECT)
        (folder / "p.png").write_bytes(content)
    # When it is moved into the inbox as a whole
    away.rename(room.inbox / "moved")
    # Then each manifest has the picture of its own folder
    jobs = {job.source: job for job in room.settle()}
    assert room.copy_of(jobs["moved/job.yaml"]) == b"upper"
    assert room.copy_of(jobs["moved/deep/job.yaml"]) == b"lower"


# -- manifests and their pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("picture_first", [True, False])
def test_picture_before_or_after_the_manifest(room: Room, picture_first: bool) -> None:
    if picture_first:
        room.put("p.png", b"picture")
    room.put("a.yaml", DETECT)
    jobs = room.settle()
    assert bool(jobs) == picture_first
    if not picture_first:
        # It waits, says for what, and goes on under the same id
        status = json.loads((room.outbox / "a.json").read_bytes())
        assert (status["state"], status["waiting_for"]) == ("waiting", ["p.png"])
        assert not status.get("warnings")
        room.put("p.png", b"picture")
        jobs = room.settle()
        assert [job.id for job in jobs] == [status["job"]]
    assert room.copy_of(jobs[0]) == b"picture"


def test_a_manifest_edited_after_it_was_taken_is_a_new_job_and_the_old_one_stays(room: Room) -> None:
    room.put("a.yaml", SPEECH)
    (first,) = room.settle()
    room.put("a.yaml", "kind: speech\ntext: Something else.\n")
    (second,) = room.settle()
    assert first.id != second.id
    assert second.name == "a-v2"
    assert room.spool.load_job(room.spool.folder_of(first)).manifest["text"] == "Hello."
    assert json.loads((room.outbox / "a.json").read_bytes())["job"] == first.id


def test_a_mended_manifest_gets_the_name_and_the_status_of_the_one_that_failed(room: Room) -> None:
    # Given a manifest that failed, and one of that name in the folder of somebody else
    room.put("hello.yaml", "kind: speech\ntxt: Hello.\n")
    room.put("anna/hello.yaml")
    assert sorted((job.source, job.name, job.state) for job in room.settle()) == [
        ("anna/hello.yaml", "hello-v2", "queued"),
        ("hello.yaml", "hello", "failed"),
    ]
    # When it is mended, but for a second mistake, and mended at last
    for text, state in (("kind: speech\ntext: []\n", "failed"), (SPEECH, "queued")):
        room.put("hello.yaml", text)
        (job,) = room.settle()
        # Then its status tells of the last one
        assert (job.name, job.state, room.status("hello")["state"]) == ("hello", state, state)
        assert room.status("hello")["job"] == job.id
    # And the next is another version, also for a daemon that has just been started
    again = Room(room.inbox.parent)
    again.look()
    again.put("hello.yaml")
    assert [job.name for job in again.settle()] == ["hello-v3"]


def test_documents_of_one_manifest_that_fail_keep_a_status_each(room: Room) -> None:
    room.put("a.yaml", "kind: speech\noutput: x\n---\nkind: speech\noutput: x\n")
    assert sorted(job.name for job in room.settle()) == ["a-1", "a-2"]
    room.put("b.yaml", "kind: speech\ntext: One.\noutput: x\n---\nkind: speech\ntext: Two.\noutput: x\n")
    assert sorted(job.name for job in room.settle()) == ["x", "x-v2"]


def test_a_file_of_the_name_of_a_manifest_that_waited_is_a_job_of_its_own(tmp_path: Path) -> None:
    # Given a manifest that waited, was taken, and left its note behind in a crash
    room = Room(tmp_path)
    room.put("a.yaml", DETECT)
    room.settle()
    (note,) = room.spool.waiting.iterdir()
    kept = note.read_bytes()
    room.put("p.png", b"x")
    (first,) = room.settle()
    note.write_bytes(kept)
    # When another one of the same name is there at the next start
    room = Room(tmp_path)
    room.put("a.yaml", SPEECH)
    (second,) = room.settle()
    # Then it is not mistaken for the first
    assert (first.id == second.id, second.manifest["kind"]) == (False, "speech")


def test_a_picture_replaced_after_acceptance_does_not_change_the_job(room: Room) -> None:
    path = room.put("p.png", b"before")
    room.put("a.yaml", DETECT)
    (first,) = room.settle()
    # When it is replaced, and written over in place
    room.put("new.png", b"after!").rename(path)
    room.put("b.yaml", DETECT)
    (second,) = room.settle()
    path.write_bytes(b"again!")
    room.put("c.yaml", DETECT)
    (third,) = room.settle()
    # Then each job has the picture of its time
    assert [room.copy_of(job) for job in (first, second, third)] == [b"before", b"after!", b"again!"]


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


@pytest.mark.parametrize("years", [-30, +30])
def test_a_clock_that_is_wrong_by_decades_delays_nothing(room: Room, years: int) -> None:
    for name in ("a.yaml", "p.png"):
        path = room.put(name, DETECT)
        os.utime(path, (time.time() + years * 3e7,) * 2)
    assert len(room.settle()) == 1


def test_a_manifest_that_may_not_be_moved_is_told_of_and_stops_no_other(room: Room) -> None:
    # Given a folder in which nothing may be changed
    locked = room.put("locked/a.yaml").parent
    if subprocess.run(["chattr", "+i", str(locked)], capture_output=True, check=False).returncode:
        pytest.skip("no folder can be made immutable here")
    try:
        room.put("b.yaml")
        # Then the other manifest is taken, and the status of this one says what to do
        assert names(room) == ["b"]
        status = json.loads((room.outbox / "a.json").read_bytes())
        assert status["state"] == "waiting"
        assert "cannot be moved" in status["warnings"][0]
        assert list((room.inbox / ".claimed").iterdir()) == []
    finally:
        subprocess.run(["chattr", "-i", str(locked)], check=True)


# -- shares and mounts -------------------------------------------------------------------------------------------


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


def test_an_inbox_that_was_only_emptied_or_made_again_goes_on(room: Room) -> None:
    for path in (room.inbox / ".avatard", room.inbox / ".claimed"):
        path.unlink() if path.is_file() else path.rmdir()
    assert room.settle() == []
    subprocess.run(["rm", "-r", str(room.inbox)], check=True)
    assert room.settle() == []
    room.put("a.yaml")
    assert names(room) == ["a"]


def test_another_folder_in_the_place_of_the_inbox_is_refused_until_a_person_says_so(room: Room) -> None:
    room.inbox.rename(room.inbox.with_name("old"))
    room.inbox.mkdir()
    (room.inbox / ".avatard").write_text("somebody-elses\n")
    room.put("a.yaml")
    with pytest.raises(MachineError, match="another folder"):
        room.look()
    # When an operator marks it as the right one
    (room.inbox / ".avatard").write_text("")
    assert names(room) == ["a"]


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


# -- bursts ------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(file_calls, "_sync", lambda path, flags: flushes.append(path))
    monkeypatch.setattr(file_calls, "_sync_filesystem", flushes.append)
    room.put("p.png", PORTRAIT.read_bytes())
    for number in range(256):
        room.put(f"j{number}.yaml", DETECT)
    # Then the flushes go with the batches, not with the jobs
    assert len(room.settle()) == 256
    assert len(flushes) <= 4 * 9


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
