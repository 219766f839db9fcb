"""Drops as they really come: from copies and synchronisers, with pictures before and after them, replaced and edited."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.daemon.intake import DETECT, SETTLE_S, SPEECH, Room


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
    assert room.settle_names() == []
    # When the file gets its name / Then it is taken
    path.rename(room.inbox / "hello.yaml")
    assert room.settle_names() == ["hello"]


def test_a_copy_that_syncthing_made_of_a_conflict_is_no_new_job(room: Room) -> None:
    room.put("hello.sync-conflict-20260102-030405-ABCDEFG.yaml")
    assert room.settle_names() == []


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
    # Given a manifest that failed, and one of that name in the folder of somebody else, in an outbox without folders
    intake = room.service.settings.intake
    room.service.settings.intake = intake.model_copy(update={"subfolders": False})
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


@pytest.mark.parametrize("years", [-30, +30])
def test_a_clock_that_is_wrong_by_decades_delays_nothing(room: Room, years: int) -> None:
    for name in ("a.yaml", "p.png"):
        path = room.put(name, DETECT)
        os.utime(path, (time.time() + years * 3e7,) * 2)
    assert len(room.settle()) == 1


@pytest.mark.usefixtures("processes")
def test_a_manifest_that_may_not_be_moved_is_told_of_and_stops_no_other(room: Room) -> None:
    # Given a folder in which nothing may be changed
    locked = room.put("locked/a.yaml").parent
    if subprocess.run(["chattr", "+i", str(locked)], capture_output=True, check=False).returncode:
        pytest.skip("no folder can be made immutable here")
    try:
        room.put("b.yaml")
        # Then the other manifest is taken, and the status of this one says what to do
        assert room.settle_names() == ["b"]
        status = json.loads((room.outbox / "locked" / "a.json").read_bytes())
        assert status["state"] == "waiting"
        assert "cannot be moved" in status["warnings"][0]
        assert list((room.inbox / ".claimed").iterdir()) == []
    finally:
        subprocess.run(["chattr", "-i", str(locked)], check=True)


def test_a_manifest_that_stays_empty_is_told_of_before_it_is_refused(room: Room) -> None:
    # Given a manifest that a program has made, and not filled
    room.put("a.yaml", b"")
    room.put("b.yaml", b"")
    assert room.look() == []
    assert not (room.outbox / "a.json").exists()
    # When it has been empty for longer than writing one takes / Then people are told, and how long it may be filled
    assert room.admission.next_look() <= SETTLE_S
    assert room.settle() == []
    status = room.status("a")
    assert status["state"] == "waiting"
    assert status["warnings"][0].startswith("a.yaml is empty (0 bytes).")
    # When it is filled / Then it is made, under the id that it was told by
    room.put("a.yaml")
    (job,) = room.settle()
    assert (job.id, job.name) == (status["job"], "a")
    assert job.manifest_warnings == []
    # And what stays empty is refused for it
    room.look(30.0)
    assert room.status("b")["state"] == "failed"
    assert "empty" in room.status("b")["error"]["message"]


def test_of_a_file_that_stays_empty_it_is_said_that_it_is_empty(room: Room) -> None:
    # Given a batch whose table a program has made, and not filled
    room.put("a.csv", b"")
    room.put("a.yaml", 'kind: batch\nrows: a.csv\ntemplate: {kind: speech, text: "Hello {{name}}."}\n')
    for _ in range(9):
        assert room.look(SETTLE_S) == []
    # Then nobody looks for a program that writes to it
    assert room.status("a")["warnings"] == ["a.csv is there, but it is empty (0 bytes)."]
