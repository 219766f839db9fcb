"""A job from a folder of the inbox is answered in the folder of that name in the outbox, whatever people do to that folder."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.outbox.outbox import Outbox
from daemon.system import fs
from daemon.system.permissions import user_name
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import SETTLE_S, SPEECH, Room
from tests.support.daemon.queue import PowerCut, Unflushed
from tests.support.daemon.worker_seam import Gates

PATIENCE_S = 50.0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, companion_wait_s=PATIENCE_S)
    one.look()
    return one


def answer(room: Room, after_s: float = 0.0) -> None:
    """A look at the inbox, and at its request files."""
    room.look(after_s)
    asyncio.run(room.service.loops.inbox_requests.answer_all())


def state(room: Room, name: str) -> str:
    return str(json.loads((room.outbox / f"{name}.json").read_bytes())["state"])


def test_two_peoples_hello_never_meet(room: Room) -> None:
    for folder in ("anna", "ben", "ben/films"):
        room.put(f"{folder}/hello.yaml")
    room.put("hello.yaml")
    assert {job.source: job.name for job in room.settle()} == {
        "hello.yaml": "hello",
        "anna/hello.yaml": "anna/hello",
        "ben/hello.yaml": "ben/hello",
        "ben/films/hello.yaml": "ben/films/hello",
    }
    # Then each status lies in the folder of its sender, and says who that is
    status = json.loads((room.outbox / "anna" / "hello.json").read_bytes())
    assert (status["name"], status["source"], status["by"]) == ("anna/hello", "anna/hello.yaml", user_name(os.getuid()))
    assert sorted(Outbox(room.outbox).names()) == ["anna/hello", "ben/films/hello", "ben/hello", "hello"]


def test_a_request_file_means_the_job_of_its_folder(room: Room) -> None:
    for folder in ("anna", "ben"):
        room.put(f"{folder}/hello.yaml")
    room.settle()
    # When one folder's job is held, and the inbox itself has none of that name
    room.put("anna/hello.hold", "")
    room.put("hello.cancel", "")
    answer(room)
    assert (state(room, "anna/hello"), state(room, "ben/hello")) == ("held", "queued")
    # Then who asked for what is not there is answered where they look
    room.put("ben/nobody.cancel", "")
    answer(room)
    answer(room, PATIENCE_S)
    assert "no job whose result is called hello" in (room.outbox / "hello.cancel.txt").read_text()
    assert "no job whose result is called nobody" in (room.outbox / "ben" / "nobody.cancel.txt").read_text()
    assert (state(room, "anna/hello"), state(room, "ben/hello")) == ("held", "queued")


def test_a_job_of_the_time_before_there_were_folders_is_found(room: Room) -> None:
    intake = room.service.settings.intake
    room.service.settings.intake = intake.model_copy(update={"subfolders": False})
    room.put("anna/hello.yaml")
    assert [job.name for job in room.settle()] == ["hello"]
    room.service.settings.intake = intake
    room.put("ben/hello.hold", "")
    answer(room)
    assert state(room, "hello") == "queued"
    room.put("anna/hello.hold", "")
    answer(room)
    assert state(room, "hello") == "held"


def test_a_new_folder_is_the_groups_like_its_parent(room: Room) -> None:
    room.outbox.chmod(0o2770)
    before = os.umask(0o077)  # whatever the daemon was started with
    try:
        room.put("anna/films/hello.yaml")
        room.settle()
    finally:
        os.umask(before)
    for folder in (room.outbox / "anna", room.outbox / "anna" / "films"):
        info = folder.stat()
        assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o2770, room.outbox.stat().st_gid)


@pytest.mark.parametrize(("crash_at", "made"), [("rename_new", False), ("sync_dir", True)])
def test_a_crash_while_a_folder_is_made_leaves_nothing_that_is_half(
    memory: Path, ops: Unflushed, monkeypatch: pytest.MonkeyPatch, crash_at: str, made: bool
) -> None:
    # Given a power cut before or after a new folder gets its name, when nothing can be cleaned up any more
    memory.chmod(0o2770)
    outbox = Outbox(memory)

    def cut(name: str, path: Path) -> None:
        if name == crash_at:
            raise PowerCut

    ops.before = cut
    with monkeypatch.context() as dead:
        dead.setattr(fs, "remove", lambda path: None)
        with pytest.raises(PowerCut):
            outbox.reserve_name("anna/hello", "job-20260101T000000Z-00000001", {})
    assert (memory / "anna").exists() == made
    # Then the next start finds what is left, and the job gets its name
    ops.before = lambda name, path: None
    for left in outbox.temporary_files(frozenset()):
        fs.remove(left)
    assert outbox.reserve_name("anna/hello", "job-20260101T000000Z-00000001", {}) == "anna/hello"
    assert [path.name for path in memory.iterdir()] == ["anna"]
    assert (memory / "anna").stat().st_mode & 0o7777 == 0o2770


@pytest.mark.parametrize("planted", ["link", "file", "closed", "mute link"])
def test_what_people_put_in_the_place_of_a_folder_is_left_alone(room: Room, tmp_path: Path, planted: str) -> None:
    elsewhere, place = tmp_path / "elsewhere", room.outbox / "anna"
    elsewhere.mkdir()
    match planted:
        case "link":
            place.symlink_to(elsewhere)
        case "mute link":
            place.symlink_to(tmp_path / "nothing")
        case "file":
            place.write_text("mine")
        case "closed":
            place.mkdir(0o500)
    room.put("anna/hello.yaml")
    room.put("anna/notes.txt", "Say hello.")
    (job,) = room.settle()
    # Then the job has a folder of its own beside it, and nothing was written through it
    assert job.name == ("anna/hello" if planted == "closed" and os.geteuid() == 0 else "anna-v2/hello")
    assert state(room, job.name) == "queued"
    assert list(elsewhere.iterdir()) == []
    # And its requests are heard
    room.put("anna/hello.hold", "")
    answer(room)
    assert state(room, job.name) == "held"
    assert planted == "closed" or place.is_symlink() or place.read_text() == "mine"


def test_a_folder_that_is_exchanged_later_stops_nobody(room: Room, tmp_path: Path) -> None:
    # Given an accepted job whose folder becomes a link
    room.put("anna/hello.yaml")
    (job,) = room.settle()
    (room.outbox / "anna").rename(room.outbox / "away")
    (room.outbox / "anna").symlink_to(tmp_path)
    # When it ends / Then its status lies in the outbox itself, under a name that is its own, and others go on
    status = room.service.status
    job.state = "done"
    status.before_finish(job)
    assert job.name == f"hello-{job.id}"
    assert state(room, job.name) == "done"
    assert not (tmp_path / "hello.json").exists()


def test_a_job_is_found_in_whatever_folder_people_made_way_for(room: Room) -> None:
    # Given jobs of one folder that lie in three, since people made some of them unusable, and then usable again
    places = ["anna/films", "anna-v2/films", "anna-v2/films-v2"]
    planted = [room.outbox / "anna", room.outbox / "anna-v2" / "films"]
    for number, place in enumerate(places):
        room.put(f"anna/films/hello{number}.yaml")
        assert room.settle_names() == [f"{place}/hello{number}"]
        if number < len(planted):
            planted[number].rename(room.outbox / f"away{number}")
            planted[number].write_text("mine")
    for number, path in enumerate(planted):
        path.unlink()
        (room.outbox / f"away{number}").rename(path)
    # When a request means each / Then it is heard
    for number, place in enumerate(places):
        room.put(f"anna/films/hello{number}.hold", "")
        answer(room)
        assert state(room, f"{place}/hello{number}") == "held"


def test_a_folder_that_was_removed_is_made_again(room: Room) -> None:
    room.put("anna/hello.yaml")
    (job,) = room.settle()
    (room.outbox / "anna" / "hello.json").unlink()
    (room.outbox / "anna").rmdir()
    room.service.status.before_finish(job)
    assert state(room, "anna/hello") == "queued"


def test_folders_that_are_one_on_another_system_share_one(room: Room) -> None:
    for folder in ("Anna", "anna", "Zoe\u0308"):
        room.put(f"{folder}/hello.yaml")
    room.settle()
    assert sorted(path.name for path in room.outbox.iterdir() if path.is_dir()) in (["Anna", "Zoë"], ["Zoë", "anna"])
    (shared,) = (path for path in room.outbox.iterdir() if path.name.lower() == "anna")
    assert {path.name for path in shared.glob("*.json")} == {"hello.json", "hello-v2.json"}
    # And a request file still means the job of its own folder
    first = json.loads((shared / "hello.json").read_bytes())["source"].partition("/")[0]
    other = {"anna": "Anna", "Anna": "anna"}[first]
    room.put(f"{other}/hello.cancel", "")
    answer(room)
    answer(room, PATIENCE_S)
    assert state(room, f"{shared.name}/hello") == "queued"


@pytest.mark.parametrize(
    ("folder", "answered"),
    [
        (b"line\nbreak", "line_break"),
        (b"caf\xe9", "caf_"),
        (b"a:b*", "a_b_"),
        (b"dots...", "dots"),
        (b"one/two/three/four", "one/two/three/four"),
        ("ü".encode() * 120, "ü" * 90),
    ],
)
def test_a_folder_name_that_is_hard_elsewhere_is_answered_in_one_that_is_not(
    room: Room, folder: bytes, answered: str
) -> None:
    place = os.path.join(os.fsencode(room.inbox), folder)
    os.makedirs(place)
    Path(os.fsdecode(os.path.join(place, b"hello.yaml"))).write_text(SPEECH)
    (job,) = room.settle()
    assert job.name == f"{answered}/hello"
    assert state(room, job.name) == "queued"
    # And its request files are heard
    Path(os.fsdecode(os.path.join(place, b"hello.hold"))).touch()
    answer(room)
    answer(room, SETTLE_S)
    assert state(room, job.name) == "held"


def test_a_folder_that_becomes_a_link_while_its_job_runs_costs_no_result(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given two people's jobs of one name that run
    one = installation()
    gates = Gates(one, one.root / "seam")
    gates.shut("tts")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    one.start()
    for folder in ("anna", "ben"):
        (one.inbox / folder).mkdir()
        one.drop(f"{folder}/hello.yaml", SPEECH)
    job = wait_for("the job of anna", lambda: one.status("anna/hello"))["job"]
    wait_for("the job of ben", lambda: one.status("ben/hello"))
    gates.reached("tts")
    # When the folder of one becomes a link, and both go on
    (one.outbox / "anna").rename(one.outbox / "away")
    (one.outbox / "anna").symlink_to(elsewhere)
    gates.open("tts")
    # Then the other has its result where it belongs, and that one in the outbox itself
    done = one.finished("ben/hello")
    assert [output["file"] for output in done["outputs"]] == ["ben/hello.timing.json", "ben/hello.wav"]
    assert (one.outbox / "ben" / "hello.wav").stat().st_size == done["outputs"][-1]["bytes"]
    moved = f"hello-{job}"
    assert one.finished(moved)["outputs"][-1]["file"] == f"{moved}.wav"
    assert (one.outbox / f"{moved}.wav").exists()
    assert list(elsewhere.iterdir()) == []
    assert one.events("lane paused") == []
