"""Files such as `hello.cancel` in the shared folder: for those who have nothing else, in whatever order they come."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from daemon.errors import JobError, MachineError, UnknownError
from daemon.system import fs
from daemon.system.file_calls import Ops
from tests.support.daemon.inbox_requests import PATIENCE_S, look, state
from tests.support.daemon.intake import DETECT, SETTLE_S, SPEECH, Room

TWO = f"{SPEECH}---\n{SPEECH}"


def test_a_request_that_fails_keeps_no_other(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given requests on two jobs, of which one has a folder that refuses its record
    for name in ("a", "b"):
        room.put(f"{name}.yaml")
    broken, _ = sorted(room.settle(), key=lambda job: job.name)

    class Refusing(Ops):
        def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
            if broken.id in str(path) and "spool" in str(path):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
            super().write(path, data, sync, mode)

    monkeypatch.setattr(fs, "OPS", Refusing())
    for name in ("a", "b"):
        room.put(f"{name}.hold", "")
    look(room)
    # Then the other is heard, and this one is answered
    assert state(room, "b") == "held"
    assert "PermissionError" in (room.outbox / "a.hold.txt").read_text()
    assert list(room.inbox.glob("*.hold")) == []


@pytest.mark.parametrize("suffix", [".yaml", ".YML"])
@pytest.mark.parametrize(("request_file", "end"), [("hello.hold", "held"), ("HELLO.Cancel", "cancelled")])
def test_a_request_that_comes_before_its_manifest_is_heard(
    room: Room, request_file: str, end: str, suffix: str
) -> None:
    # Given a request that a synchroniser brings long before the manifest it is about
    room.put(request_file, "")
    look(room)
    look(room, PATIENCE_S * 0.9)
    assert (room.inbox / request_file).exists()
    # When the manifest comes / Then it is granted, and the request goes
    room.put(f"hello{suffix}")
    look(room)
    look(room, SETTLE_S)
    assert state(room, "hello") == end
    assert not (room.inbox / request_file).exists()


def test_a_request_that_fits_nothing_is_answered_when_its_time_is_over(room: Room) -> None:
    room.put("nobody.cancel", "")
    look(room)
    look(room, PATIENCE_S)
    # Then it is gone, and somebody without a shell can read why; a new answer takes the place of an older one
    assert not (room.inbox / "nobody.cancel").exists()
    assert "no job whose result is called nobody" in (room.outbox / "nobody.cancel.txt").read_text()
    room.put("nobody.cancel", "")
    look(room)
    look(room, PATIENCE_S)
    assert not (room.inbox / "nobody.cancel").exists()
    assert [path.name for path in room.outbox.glob("nobody.cancel*.txt")] == ["nobody.cancel.txt"]


def test_a_request_that_does_not_fit_the_job_is_answered_at_once(room: Room) -> None:
    room.put("hello.yaml")
    room.settle()
    room.put("hello.release", "")
    look(room)
    assert "is not held" in (room.outbox / "hello.release.txt").read_text()


def test_a_request_in_other_capitals_means_the_only_job_of_that_name(room: Room) -> None:
    for name in ("anna/Long2", "short"):
        room.put(f"{name}.yaml")
    room.settle()
    for request in ("anna/long2.HOLD", "Short.Hold"):
        room.put(request, "")
    look(room)
    assert (state(room, "anna/Long2"), state(room, "short")) == ("held", "held")


def test_a_failed_job_is_run_again_in_its_folder(room: Room) -> None:
    # Given a job that failed, and one of that name in another folder that did not
    for folder in ("anna", "ben"):
        room.put(f"{folder}/hello.yaml")
    jobs = {job.source: job for job in room.settle()}
    job = jobs["anna/hello.yaml"]
    room.service.ready_queue.remove(job.id)
    failure = UnknownError("internal-error", "It broke.", "")
    asyncio.run(room.service.state_machine.finish(job, room.spool.folder_of(job), "failed", failure))
    assert state(room, "anna/hello") == "failed"
    # When both are asked for again / Then the failed one stands in its queue, and the other is told why it does not
    for folder in ("anna", "ben"):
        room.put(f"{folder}/hello.retry", "")
    look(room)
    assert state(room, "anna/hello") == "queued"
    assert job.id in room.service.ready_queue
    assert "only failed and cancelled jobs" in (room.outbox / "ben" / "hello.retry.txt").read_text()
    assert not list(room.inbox.rglob("*.retry"))


def test_what_cannot_be_started_again_is_answered_with_files_and_the_next_step(room: Room) -> None:
    # Given a job that is done, one whose manifest was wrong, and one whose picture never came
    room.put("anna/hello.yaml")
    (job,) = room.settle()
    room.service.ready_queue.remove(job.id)
    asyncio.run(room.service.state_machine.finish(job, room.spool.folder_of(job), "done"))
    room.put("bad.yaml", "txet: Hello.\n")
    room.put("lone.yaml", DETECT)
    room.settle()
    look(room, PATIENCE_S)
    assert (state(room, "bad"), state(room, "lone")) == ("failed", "failed")
    while room.service.returner.give_back_next():
        pass
    # When each is asked for again
    for name in ("anna/hello", "bad", "lone"):
        room.put(f"{name}.retry", "")
    look(room)
    # Then none runs, and the answers name files, and no ids
    answers = {name: (room.outbox / f"{name}.retry.txt").read_text() for name in ("anna/hello", "bad", "lone")}
    assert "anna/hello is done" in answers["anna/hello"]
    assert "drop hello.yaml into the folder anna of the inbox again" in answers["anna/hello"]
    assert "hello-v2" in answers["anna/hello"]
    for name in ("bad", "lone"):
        assert f"{name} was refused before it was taken in" in answers[name]
        assert f"{name}.yaml, beside this job's status in the outbox, is your manifest" in answers[name]
        assert state(room, name) == "failed"
    assert not any("job-" in answer for answer in answers.values())


def test_a_job_that_the_operator_can_help_says_how_it_runs_as_it_is(room: Room) -> None:
    # Given a job that failed because a voice is not installed
    room.put("anna/hello.yaml")
    (job,) = room.settle()
    room.service.ready_queue.remove(job.id)
    failure = JobError("voice-not-installed", "The voice 'adam' cannot be used here.", "Whoever runs avatard can help.")
    asyncio.run(room.service.state_machine.finish(job, room.spool.folder_of(job), "failed", failure))
    # Then its status names the request file that starts it again / And that file does
    assert "put an empty file hello.retry into the folder anna of the inbox" in room.status("anna/hello")["next"]
    room.put("anna/hello.retry", "")
    look(room)
    assert state(room, "anna/hello") == "queued"


@pytest.mark.parametrize(
    ("manifest", "request_file", "name"),
    [(TWO, "many-2.cancel", "many-2"), (SPEECH + "output: other\n", "other.cancel", "other")],
)
def test_a_request_for_a_job_of_another_name_waits_while_its_file_is_in_the_inbox(
    room: Room, manifest: str, request_file: str, name: str
) -> None:
    # Given a file whose jobs have other names than it has, still being copied for longer than requests wait
    room.put("many.yaml", manifest)
    room.put(request_file, "")
    for _ in range(60):
        room.put("many.yaml", manifest)
        look(room, SETTLE_S * 0.9)
    # When it is taken in at last / Then that job is cancelled, and no other
    look(room, SETTLE_S)
    assert state(room, name) == "cancelled"
    assert state(room, "many-1") in (None, "queued")


def test_a_disk_below_its_reserve_is_said_and_keeps_no_request_waiting(tmp_path: Path) -> None:
    # Given a waiting job, and a disk below its reserve / When somebody cancels the job, and nothing else is dropped
    room = Room(tmp_path)
    room.look()
    room.put("hello.yaml")
    room.settle()
    room = Room(tmp_path, reserve_mb=10**9)
    room.put("hello.cancel", "")
    with pytest.raises(MachineError, match="in reserve"):  # which is what `/readyz` then says
        asyncio.run(room.service.loops.scan_once())
    # Then it is cancelled: that gives room
    assert state(room, "hello") == "cancelled"


def test_an_answer_goes_when_it_is_outdated(room: Room) -> None:
    # Given a request that was refused, twice, and a file of somebody else with nearly the same name
    room.put("a.yaml")
    room.settle()
    (room.outbox / "a.cancel.txt").write_text("my notes")
    for _ in range(2):
        room.put("a.retry", "")
        look(room)
    assert [path.name for path in room.outbox.glob("a.retry*")] == ["a.retry.txt"]
    # When a request for that job is carried out
    room.put("a.cancel", "")
    look(room)
    # Then only the daemon's answer has gone
    assert sorted(path.name for path in room.outbox.glob("a.*.txt")) == ["a.cancel.txt"]
    # And likewise when the name is used again
    room.put("a.release", "")
    look(room)
    assert (room.outbox / "a.release.txt").exists()
    room.put("a.yaml")
    room.settle()
    assert sorted(path.name for path in room.outbox.glob("a.*.txt")) == ["a.cancel.txt"]
