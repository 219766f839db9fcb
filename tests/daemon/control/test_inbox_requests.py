"""Files such as `hello.cancel` in the shared folder: for those who have nothing else, in whatever order they come."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.control.inbox_requests import LONGEST_WAIT
from daemon.errors import JobError, MachineError, UnknownError
from daemon.intake import claims
from daemon.intake.drop import Drop
from daemon.intake.fair_queue import TURN_JOBS
from daemon.jobs.record import Job
from daemon.system import file_calls, fs
from daemon.system.file_calls import Ops
from tests.support.daemon.intake import DETECT, SETTLE_S, SPEECH, Room

PATIENCE_S = 100.0
TWO = f"{SPEECH}---\n{SPEECH}"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, companion_wait_s=PATIENCE_S)
    one.look()
    return one


def look(room: Room, after_s: float = 0.0) -> list[Job]:
    """A look at the inbox as the daemon makes it: first the drops, then the requests."""
    jobs = room.look(after_s)
    asyncio.run(room.service.loops.inbox_requests.answer_all())
    return jobs


def state(room: Room, name: str) -> str | None:
    path = room.outbox / f"{name}.json"
    return str(json.loads(path.read_bytes())["state"]) if path.exists() else None


def test_a_request_that_fails_keeps_no_other(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given requests on two jobs, of which one has a folder that refuses its record
    for name in ("a", "b"):
        room.put(f"{name}.yaml")
    broken, _ = sorted(room.settle(), key=lambda job: job.name)

    class Refusing(Ops):
        def write(self, path: Path, data: bytes, sync: bool = True) -> None:
            if broken.id in str(path) and "spool" in str(path):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
            super().write(path, data, sync)

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


def test_a_manifest_that_waits_for_its_files_is_cancelled_where_it_lies(room: Room) -> None:
    # Given a manifest whose picture never comes, under the name it waits by
    room.put("hello.yaml", DETECT)
    room.settle()
    waiting = json.loads((room.outbox / "hello.json").read_bytes())
    assert waiting["state"] == "waiting"
    # When it is cancelled / Then the status says so under the same id, nothing waits, and the manifest is kept
    room.put("hello.cancel", "")
    look(room)
    status = json.loads((room.outbox / "hello.json").read_bytes())
    assert (status["job"], status["state"]) == (waiting["job"], "cancelled")
    assert list(room.spool.waiting.iterdir()) == []
    assert (room.spool.root / "failed" / waiting["job"] / "manifest.yaml").read_text() == DETECT
    # And the picture that comes later wakes nothing
    room.put("p.png", b"x")
    assert room.settle() == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_manifest_that_waits_for_its_files_is_held_and_released_where_it_lies(
    room: Room, tmp_path: Path, restart: bool
) -> None:
    # Given a manifest that waits, of two jobs
    room.put("hello.yaml", f"{DETECT}---\n{DETECT}")
    room.settle()
    # When it is held / Then it is answered at once, and says so
    room.put("hello.hold", "")
    look(room)
    assert not (room.inbox / "hello.hold").exists()
    assert room.status("hello")["state"] == "waiting"
    assert "until it is released" in room.status("hello")["next"]
    # And when its picture comes, also after a restart, its jobs are held from their first moment
    if restart:
        room = Room(tmp_path, companion_wait_s=PATIENCE_S)
    room.put("p.png", b"x")
    jobs = room.settle()
    assert [(job.state, bool(job.held)) for job in jobs] == [("held", True)] * 2
    assert len(room.service.ready_queue) == 0
    assert {status["state"] for status in map(room.status, (job.name for job in jobs))} == {"held"}
    # And each goes on when it is released
    room.put(f"{jobs[0].name}.release", "")
    look(room)
    assert [room.status(job.name)["state"] for job in jobs] == ["queued", "held"]


def test_a_hold_that_cannot_be_read_any_more_still_holds(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a held manifest that waits for its picture
    room.put("hello.yaml", DETECT)
    room.settle()
    room.put("hello.hold", "")
    look(room)
    # When its picture comes, and what is kept of the hold in its claim is damaged
    monkeypatch.setattr(claims, "dump_json", lambda value: b'{"by": "an')
    room.put("p.png", b"x")
    # Then it does not start
    assert [job.state for job in room.settle()] == ["held"]
    assert len(room.service.ready_queue) == 0


def test_the_time_for_which_the_inbox_is_stopped_does_not_count_as_waiting_for_a_file(room: Room) -> None:
    def look_while_stopped(after_s: float) -> None:
        room.now += after_s
        for batch in room.admission.scan():
            room.admission.keep_back(batch, "Nothing is taken out of the inbox.")

    # Given a manifest that has waited for its picture nearly as long as it may
    room.put("hello.yaml", DETECT)
    room.settle()
    assert look(room, PATIENCE_S - 10) == []
    # When the picture comes while the inbox is stopped / Then its people are told that, and no more that it is not there
    picture = room.put("p.png", b"x")
    look_while_stopped(0)
    look_while_stopped(SETTLE_S)
    status = room.status("hello")
    assert ("Nothing is taken out" in status["next"], status.get("waiting_for")) == (True, None)
    # And where it goes again, the waiting begins anew
    picture.unlink()
    look_while_stopped(PATIENCE_S / 2)
    assert look(room, 1.0) == []
    assert room.status("hello")["state"] == "waiting"


def test_a_waiting_manifest_that_is_released_again_starts_by_itself(room: Room) -> None:
    room.put("hello.yaml", DETECT)
    room.settle()
    for request in ("hello.hold", "hello.release"):
        room.put(request, "")
        look(room)
    assert "held" not in room.status("hello")["next"]
    room.put("hello.release", "")
    look(room)
    assert "is not held" in (room.outbox / "hello.release.txt").read_text()
    room.put("p.png", b"x")
    assert [job.state for job in room.settle()] == ["queued"]


def test_a_request_that_a_waiting_manifest_cannot_follow_is_answered_at_once(room: Room) -> None:
    room.put("hello.yaml", DETECT)
    room.settle()
    room.put("hello.retry", "")
    look(room)
    assert "can be cancelled, held and released" in (room.outbox / "hello.retry.txt").read_text()


def test_a_cancelled_manifest_stays_cancelled_when_the_power_goes(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cancelled manifest that was claimed when the power went
    room.put("hello.yaml")
    room.look()

    def power_cut(*args: object, **options: object) -> list[Job]:
        raise KeyboardInterrupt

    monkeypatch.setattr(room.admission.claims, "_accept", power_cut)
    with pytest.raises(KeyboardInterrupt):
        room.admission.cancel("hello.yaml")
    # When the daemon starts again / Then no job was made of it that runs
    again = Room(tmp_path)
    again.look()
    assert state(again, "hello") == "cancelled"
    assert len(again.service.ready_queue) == 0


def test_a_request_about_a_manifest_reaches_nothing_outside_the_inbox(room: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(SPEECH)
    (room.inbox / "link.yaml").symlink_to(outside)
    (room.inbox / "up").symlink_to(tmp_path)
    for name in ("../outside.yaml", "link.yaml", "up/outside.yaml", str(outside), "", "gone.yaml", ".avatard"):
        with pytest.raises(Exception, match=r"\w") as caught:
            asyncio.run(room.service.loops.spool_requests._operations.run_request({"op": "cancel", "manifest": name}))
        assert caught.type.__name__ == "JobError", name
    assert outside.read_text() == SPEECH
    assert (room.inbox / ".avatard").exists()


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


def test_many_requests_cost_one_look_at_the_manifests_and_not_one_each(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given many requests that fit nothing, whose time is over, beside many manifests that are never whole
    requests, manifests = 60, 40
    for number in range(manifests):
        room.put(f"m{number}.yaml", DETECT)
    for number in range(requests):
        room.put(f"nobody{number}.cancel", "")
    look(room)
    look(room, SETTLE_S)
    calls: dict[str, int] = {"read": 0, "at": 0}
    read, at = room.admission._contents._documents, room.admission.inbox.at

    def counted(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            calls[kind] += 1
            return call(*args)

        return counting

    monkeypatch.setattr(room.admission._contents, "_documents", counted("read", read))
    monkeypatch.setattr(room.admission.inbox, "at", counted("at", at))
    flushes: list[Path] = []
    monkeypatch.setattr(file_calls, "_sync", lambda path, flags: flushes.append(path))
    monkeypatch.setattr(file_calls, "_sync_filesystem", flushes.append)
    room.now += PATIENCE_S
    room.admission.look()
    asyncio.run(room.service.loops.inbox_requests.answer_all())
    # Then each is answered, what was looked up grows with the files, not with their product, and few flushes are enough
    assert len(list(room.outbox.glob("nobody*.txt"))) == requests
    assert calls == {"read": 0, "at": 0}
    assert len(flushes) <= 3
    assert not list(room.inbox.glob("*.cancel"))


def test_a_request_that_fits_nothing_makes_nobody_wait_for_manifests_that_change_all_the_time(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given such a request, and manifests that somebody changes again and again
    room.put("nobody.cancel", "")
    read: list[Drop] = []
    monkeypatch.setattr(room.admission._contents, "_documents", read.append)
    while room.now < PATIENCE_S * 2:
        for number in range(20):
            room.put(f"m{number}.yaml", SPEECH)
        look(room, PATIENCE_S / 2)
    # Then it waits, since they may become its job, but none is read for it
    assert (room.inbox / "nobody.cancel").exists()
    assert read == []
    # And it is answered at last all the same
    for number in range(20):
        room.put(f"m{number}.yaml", SPEECH)
    look(room, PATIENCE_S * LONGEST_WAIT)
    assert (room.outbox / "nobody.cancel.txt").exists()


def test_manifests_that_come_all_the_time_delay_no_answer(room: Room) -> None:
    # Given a request that fits nothing, and an inbox that always has a manifest which came just now
    room.put("nobody.cancel", "")
    for number in range(6):
        assert (room.inbox / "nobody.cancel").exists()
        room.put(f"m{number}.yaml", SPEECH)
        look(room, PATIENCE_S / 4)
    # Then it is answered when its time is over, and those have been read that came before
    assert (room.outbox / "nobody.cancel.txt").exists()


def test_thousands_that_fit_nothing_keep_no_other_request_waiting(room: Room) -> None:
    # Given more requests that fit nothing, whose time is over, than are answered in one turn
    for number in range(2 * TURN_JOBS):
        room.put(f"nobody{number}.cancel", "")
    look(room)
    room.put("hello.yaml", DETECT)
    look(room)
    look(room, SETTLE_S)
    assert state(room, "hello") == "waiting"
    # When somebody cancels a manifest / Then that is done in the next turn, and the others are answered in several
    room.put("hello.cancel", "")
    look(room, PATIENCE_S - SETTLE_S)
    assert state(room, "hello") == "cancelled"
    assert len(list(room.outbox.glob("nobody*.txt"))) == TURN_JOBS
    assert room.service.loops.inbox_requests.unfinished
    look(room)
    assert not list(room.inbox.glob("*.cancel"))
    assert not room.service.loops.inbox_requests.unfinished


def test_a_request_for_one_job_of_a_waiting_manifest_is_answered_at_once(room: Room) -> None:
    room.put("many.yaml", f"{DETECT}---\n{DETECT}")
    room.settle()
    room.put("many-2.hold", "")
    look(room)
    answer = (room.outbox / "many-2.hold.txt").read_text()
    assert "many.yaml waits for its files" in answer
    assert "For all jobs of many.yaml, put many.hold there." in answer
    # And the answer goes when the job is there
    room.put("p.png", b"x")
    room.settle()
    assert not (room.outbox / "many-2.hold.txt").exists()


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
