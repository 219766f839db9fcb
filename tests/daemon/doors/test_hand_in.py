"""Handing in: a job is made once and at once, under the id that its door gave it, whoever else writes into the inbox."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from typing import Any

import pytest

from daemon.config.paths import Paths
from daemon.config.settings import Server, Settings
from daemon.doors import submission
from daemon.doors.hand_in import hand_in
from daemon.doors.shared_files import write_readable
from daemon.errors import AvatarError, ConfigError, JobError
from daemon.intake.doors.hand_ins import LITTER_S
from daemon.jobs.hand_in_record import MAX_MANIFEST_BYTES, HandInRecord, digest_of
from daemon.jobs.record import new_job_id
from daemon.system import fs
from daemon.system.permissions import user_name
from tests.conftest import PORTRAIT
from tests.support.daemon.intake import SPEECH, Room

HELLO = {"kind": "speech", "text": "Hello."}


def visible(room: Room) -> list[str]:
    return sorted(path.name for path in room.inbox.iterdir() if not path.name.startswith("."))


def records(room: Room) -> list[str]:
    return sorted(path.name for path in room.inbox.glob(".*.handin"))


def trust(room: Room, uid: int) -> None:
    """Make a user the HTTP door's."""
    room.settings.server = Server(user=str(uid))


def plant(room: Room, name: str, manifest: str, **said: Any) -> HandInRecord:
    """Write a manifest, and beside it a record as a door writes it, but for what is said."""
    data = room.put(name, manifest).read_bytes()
    record = HandInRecord(**{"job": new_job_id(), "manifest": name, "sha256": digest_of(data), **said})
    (room.inbox / record.name).write_bytes(record.to_bytes())
    return record


def power_cut(*_: Any, **__: Any) -> bool:
    raise KeyboardInterrupt


def test_a_job_with_its_files_is_taken_at_the_first_look_under_the_id_that_was_told(room: Room) -> None:
    job = hand_in({"text": "Hello."}, {"image": PORTRAIT}, "", "", paths=room.settings.paths).job
    (made,) = room.look()
    assert (made.id, made.by) == (job, user_name(os.geteuid()))
    assert room.copy_of(made) == PORTRAIT.read_bytes()
    assert records(room) == []


@pytest.mark.parametrize(
    "ending", [".yaml", ".YML", ".csv", ".cancel", ".part", ".json", ".txt", ".webm~", ".yaml.icloud"]
)
def test_a_file_that_is_handed_in_is_taken_for_nothing_else_by_its_name(room: Room, ending: str) -> None:
    evil = room.inbox.parent / f"evil{ending}"
    evil.write_text("kind: speech\ntext: Hello.\n")
    job = hand_in({"kind": "info"}, {"video": evil}, "", "", paths=room.settings.paths, name="made").job
    (brought,) = (name for name in visible(room) if name.startswith("evil"))
    assert "." not in brought
    (made,) = room.look()
    assert made.id == job
    assert made.state != "failed"


@pytest.mark.parametrize("died", [False, True])
def test_a_key_is_not_taken_for_that_of_another_job_which_waits_under_the_same_name(
    room: Room, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    # Given a manifest that nobody has looked at yet
    paths = room.settings.paths
    other = {**HELLO, "text": "Another one."}
    if died:  # before it could publish its own
        monkeypatch.setattr(fs, "publish", power_cut)
        with pytest.raises(KeyboardInterrupt):
            hand_in(other, key="k2", name="mine", paths=paths)
        monkeypatch.undo()
    first = hand_in(HELLO, key="k1", name="mine", paths=paths)
    # When another job is handed in under its name, then it is refused: nothing of it would be made
    with pytest.raises(AvatarError) as refused:
        hand_in(other, key="k2", name="mine", paths=paths)
    assert refused.value.code == "name-taken"
    assert [job.id for job in room.look()] == [first.job]
    if not died:  # and the key is free for another name
        assert hand_in(other, key="k2", name="yours", paths=paths).job == room.look()[0].id


def test_the_same_key_is_the_same_job_before_during_and_after_its_life(room: Room) -> None:
    paths = room.settings.paths
    first = hand_in(HELLO, key="k1", paths=paths)
    # Before the daemon has seen it, while it is at work, and when nothing of it is left in the inbox
    assert hand_in(HELLO, key="k1", paths=paths).job == first.job
    assert [job.id for job in room.look()] == [first.job]
    again = hand_in(HELLO, key="k1", paths=paths)
    assert (again.job, again.again) == (first.job, True)
    assert room.look() == []
    # And other work under the same key is refused, other keys are other jobs
    with pytest.raises(AvatarError, match=first.job) as refused:
        hand_in({**HELLO, "text": "Bye."}, key="k1", paths=paths)
    assert refused.value.code == "key-reused"
    assert hand_in(HELLO, key="k2", paths=paths).job != first.job


def _submit(paths: Paths, begin: Any, told: Any) -> None:
    begin.wait()
    told.put(hand_in(HELLO, {}, "", "race", paths=paths).job)


@pytest.mark.usefixtures("processes")
def test_processes_that_use_a_key_at_the_same_moment_hand_in_one_job(room: Room) -> None:
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(3), context.Queue()
    running = [context.Process(target=_submit, args=(room.settings.paths, begin, told)) for _ in range(3)]
    for process in running:
        process.start()
    jobs = {told.get(timeout=600) for _ in running}
    for process in running:
        process.join()
    assert len(jobs) == 1
    assert [job.id for job in room.look()] == list(jobs)


class Crash(BaseException):
    """The process dies here."""


CALLS = ("write", "rename", "rename_new", "sync_dir", "copy")


@pytest.mark.parametrize("taken", [False, True], ids=["waiting", "taken-in"])
def test_a_crash_at_any_step_leaves_no_half_job_and_the_key_makes_it_one(
    room: Room, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    paths, step = room.settings.paths, 0
    while True:
        step += 1
        key, left = f"crash{step}", step
        picture = room.inbox.parent / "picture.png"
        picture.write_bytes(PORTRAIT.read_bytes() + bytes(step))

        def call(name: str, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            return getattr(type(fs.OPS), name)(fs.OPS, *args, **options)

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(fs.OPS, name, lambda *args, _name=name, **options: call(_name, *args, **options))
            try:
                hand_in({"text": f"Hello {step}."}, {"image": picture}, key=key, paths=paths)
            except Crash:
                pass
            else:
                break
        made = room.look() if taken else []
        job = hand_in({"text": f"Hello {step}."}, {"image": picture}, key=key, paths=paths).job
        made += room.look()
        assert [one.id for one in made] == [job], f"died at call {step}"
    assert step > 8


def test_what_a_crash_left_is_cleared_a_day_later_and_nothing_that_is_used(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a hand-in that died with its picture in the inbox, and a manifest of a person that waits beside another picture
    with monkeypatch.context() as patch:
        patch.setattr(submission, "write_readable", _die_after(write_readable, 0))
        with pytest.raises(Crash):
            hand_in({"text": "Hello."}, {"image": PORTRAIT}, paths=room.settings.paths)
    (picture,) = visible(room)
    room.put("own.png", b"somebody's")
    room.look()
    assert set(visible(room)) == {picture, "own.png"}
    # When a day has passed
    late = time.time() + LITTER_S + 60
    monkeypatch.setattr(time, "time", lambda: late)
    room.look()
    assert visible(room) == ["own.png"]
    assert records(room) == []


def _die_after(method: Any, calls: int) -> Any:
    left = calls

    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash
        return method(*args, **options)

    return wrapped


@pytest.mark.parametrize("umask", [0o007, 0o022, 0o077])
def test_each_file_of_a_job_is_flushed_once_and_their_folder_once_whatever_the_umask(
    room: Room, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.readlink(f"/proc/self/fd/{fd}")))
    before = os.umask(umask)
    try:
        hand_in(HELLO, paths=room.settings.paths)
    finally:
        os.umask(before)
    assert len(flushed) == len(set(flushed)) == 3, flushed
    assert flushed[-1] == str(room.inbox)
    modes = {path.stat().st_mode & 0o777 for path in room.inbox.iterdir() if path.is_file() and "hello" in path.name}
    assert modes == {0o640}


def test_a_full_disk_hands_in_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs.OPS, "copy", full)
    with pytest.raises(OSError, match="No space"):
        hand_in({"text": "Hello."}, {"image": PORTRAIT}, paths=room.settings.paths)
    assert visible(room) == []


def test_a_job_without_files_costs_three_flushes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record, its manifest, and their folder once: a job of a program costs the disk no more than that."""
    flushes: list[int] = []
    real = os.fsync

    def flush(fd: int) -> None:
        flushes.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", flush)
    hand_in(HELLO, paths=room.settings.paths)
    assert len(flushes) == 3


def test_half_a_pair_in_a_text_is_refused_as_a_mistake_of_the_manifest(room: Room) -> None:
    with pytest.raises(JobError, match="manifest"):
        hand_in({**HELLO, "text": "a\ud800b"}, paths=room.settings.paths)
    assert visible(room) == []


def test_a_share_without_hard_links_and_exclusive_renames_takes_jobs(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fs.OPS, "rename_new", refuse)
    monkeypatch.setattr(fs.OPS, "link", refuse)
    job = hand_in(HELLO, key="k", paths=room.settings.paths).job
    assert [one.id for one in room.look()] == [job]


# -- what others write -------------------------------------------------------------------------------------------


def _damaged(room: Room, record: HandInRecord, how: str) -> None:
    path = room.inbox / record.name
    content = path.read_bytes()
    path.unlink()
    if how == "link":
        (room.inbox.parent / "elsewhere").write_bytes(content)
        path.symlink_to(room.inbox.parent / "elsewhere")
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "10 MB":
        path.write_bytes(content + b" " * 10_000_000)
    elif how == "empty":
        path.touch()
    elif how == "deep":
        path.write_bytes(b"[" * 16_000)
    else:
        path.write_bytes(json.dumps({**json.loads(content), **json.loads(how)}).encode())


@pytest.mark.parametrize(
    "how",
    [
        "link",
        "fifo",
        "folder",
        "10 MB",
        "empty",
        "deep",
        '{"schema": 2}',
        '{"job": "../../x"}',
        '{"job": "job-20260101T000000Z-00000000"}',  # not the one in the file's name
        '{"by": "a\\nb"}',
        '{"by": 1}',
        '{"files": []}',
        '{"files": {"a": -1}}',
        '{"files": {"a": true}}',
        '{"sha256": "' + "0" * 64 + '"}',  # of another content: half a manifest, or another one
        '{"manifest": "../hello.yaml"}',
    ],
)
def test_a_record_of_a_damaged_shape_makes_the_manifest_an_ordinary_drop(room: Room, how: str) -> None:
    record = plant(room, "hello.yaml", SPEECH)
    _damaged(room, record, how)
    assert room.look() == []  # it is to settle first
    (job,) = room.look(2 * 10**5)
    assert job.id != record.job


def test_an_id_that_a_job_has_is_given_to_no_other(room: Room) -> None:
    plant(room, "a.yaml", SPEECH)
    (first,) = room.look()
    plant(room, "b.yaml", "kind: speech\ntext: Another.\n", job=first.id)
    (second,) = room.look()
    assert second.id != first.id


def test_a_manifest_that_is_too_large_fails_as_the_job_that_was_told(room: Room) -> None:
    room = Room(room.inbox.parent, max_manifest_bytes=1024)  # which was more before, or which the door does not know
    job = hand_in(HELLO | {"metadata": {"a": "b" * 1024}}, paths=room.settings.paths, name="big").job
    assert [made.id for made in room.look()] == [job]
    status = room.status("big")
    assert (status["job"], status["state"], status["error"]["code"]) == (job, "failed", "manifest-too-large")
    assert records(room) == []
    # And no setting lets one in whose job could not be told
    with pytest.raises(ConfigError, match="max_manifest_bytes"):
        Settings.parse({"intake": {"max_manifest_bytes": MAX_MANIFEST_BYTES + 1}}, room.inbox)


def test_a_door_that_is_not_the_http_door_cannot_say_who_hands_in(room: Room) -> None:
    plant(room, "a.yaml", SPEECH, by="boss")
    (job,) = room.look()
    assert job.by == user_name(os.geteuid())


def test_the_http_door_says_who_hands_in_also_for_what_waits(room: Room) -> None:
    trust(room, os.geteuid())
    plant(room, "a.yaml", SPEECH, by="anna@example.org")
    plant(room, "b.yaml", "image: missing.png\ntext: Hello.\n", by="bert")
    (job,) = room.look()
    assert (job.by, room.status("a")["by"]) == ("anna@example.org", "anna@example.org")
    assert room.status("b")["by"] == "bert"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_user_cannot_say_anything_of_somebody_elses_manifest_nor_forge_who_he_is(room: Room) -> None:
    # Given that the HTTP door has a user of its own, and another user who writes records as that door does
    trust(room, 54301)
    record = plant(room, "theirs.yaml", SPEECH, by="boss")
    os.chown(room.inbox / record.name, 54302, -1)
    forged = plant(room, "own.yaml", SPEECH, by="boss")
    for name in ("own.yaml", forged.name):
        os.chown(room.inbox / name, 54302, -1)
    # Then his own job is his own, and the other manifest is as if he had written nothing
    (job,) = room.look()
    assert (job.name, job.by) == ("own", user_name(54302))
    (other,) = room.look(2 * 10**5)
    assert (other.id != record.job, other.by) == (True, user_name(0))


@pytest.mark.parametrize("by", ["x" * 200, "a\nb"])
def test_who_hands_in_is_a_short_line(room: Room, by: str) -> None:
    with pytest.raises(JobError):
        hand_in(HELLO, by=by, paths=room.settings.paths)
    assert list(room.inbox.glob("*.yaml")) == []
