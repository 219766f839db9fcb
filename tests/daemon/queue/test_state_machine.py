"""The ways of a job between its states, and who is charged for what."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from daemon.errors import AvatarError, JobError, ResultError, UnknownError, WorkerDied, WorkerLost
from daemon.jobs.facts import StageFacts
from daemon.jobs.record import Job
from daemon.queue.job_end import KEPT, KEPT_FAILED
from tests.support.daemon.queue import PowerCut, QueueRoom

UNKNOWN = UnknownError("internal-error", "It fell over.")
NOISE = ResultError("speech-invalid", "That is noise.")
NO_FACE = JobError("no-face", "No face was found.", "Use another picture.")
DEATH = WorkerDied("It was ended by SIGSEGV.", "worker-crashed", [f"line {number}" for number in range(40)])


def trouble(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


def test_an_attempt_is_counted_on_disk_before_the_stage_starts(room: QueueRoom) -> None:
    # Given a waiting job / When its stage is to start / Then the start is counted where a crash cannot undo it
    job = room.accept()
    asyncio.run(room.take(job))
    assert room.where(job) == "tts/active"
    assert room.on_disk(job).attempts == {"tts": 1}
    # And nobody else is given the job
    assert job.id not in room.ready_queue


def test_a_crash_before_the_start_is_durable_charges_nobody(room: QueueRoom) -> None:
    job = room.accept()

    def cut(name: str, path: Path) -> None:
        if name == "rename" and path.parent == room.spool.active("tts"):
            raise PowerCut

    # When the world ends after the record was written and before the job was moved
    room.ops.before = cut
    with pytest.raises(PowerCut):
        asyncio.run(room.take(job))
    # Then the job stands in its queue, and no start is counted
    assert room.where(job) == "tts/ready"
    assert room.on_disk(job).attempts.get("tts", 0) == 0


def test_a_job_goes_from_stage_to_stage_and_keeps_only_its_record_at_the_end(room: QueueRoom) -> None:
    job = room.accept()
    results: StageFacts = {"outputs": [{"file": "hello.wav", "bytes": 5, "sha256": "0" * 64}]}

    async def live() -> None:
        # When both stages have done their work
        taken, directory = await room.take(job)
        (directory / "speech.wav").write_bytes(b"sound")
        await room.state_machine.advance(taken, directory, {"audio_s": 2.0}, ["quiet"])
        assert room.where(job) == "deliver/ready"
        taken, directory = await room.take(job)
        await room.state_machine.advance(taken, directory, results, ["quiet", "short"])

    asyncio.run(live())
    # Then the job is done, with what they reported, each warning once
    assert room.where(job) == "done"
    record = room.on_disk(job)
    assert record.facts.of("tts") == {"audio_s": 2.0}
    assert record.outputs == results
    assert record.warnings == ["quiet", "short"]
    assert {path.name for path in room.spool.folder_of(record).iterdir()} <= KEPT
    assert room.state_machine.running == {}
    assert len(room.ready_queue) == 0


def test_the_status_says_done_durably_before_the_job_leaves_the_queue(room: QueueRoom) -> None:
    job = room.accept(stage="deliver")

    async def live() -> None:
        await room.state_machine.advance(*await room.take(job), {"outputs": []}, [])

    asyncio.run(live())
    outbox = room.settings.paths.outbox
    told = room.ops.calls.index(("sync_dir", outbox), room.ops.calls.index(("rename", outbox / "hello.json")))
    assert told < room.ops.calls.index(("rename", room.spool.resting("done") / job.id))


def test_a_job_does_not_end_while_nobody_can_be_told(room: QueueRoom) -> None:
    job = room.accept(stage="deliver")
    outbox = room.settings.paths.outbox

    async def live() -> None:
        taken, directory = await room.take(job)
        # Given an outbox that is away / When the job is to end
        (outbox / "hello.json").unlink()
        outbox.rmdir()
        end = asyncio.create_task(room.state_machine.advance(taken, directory, {"outputs": []}, []))
        await room.diary.until("spool paused: outbox-unusable")
        # Then it stays where it is
        assert room.where(job) == "deliver/active"
        # And ends when the outbox is back
        outbox.mkdir()
        await end

    asyncio.run(live())
    assert room.where(job) == "done"
    assert room.status()["state"] == "done"
    assert "spool resumed" in room.diary.lines


@pytest.mark.parametrize(
    ("error", "folder", "tries"),
    [(NO_FACE, "failed", 1), (UNKNOWN, "tts/ready", 1), (NOISE, "tts/ready", 1), (None, "tts/ready", 0)],
    ids=["the job's fault", "unknown", "a wrong result", "the machine's fault"],
)
def test_whose_fault_it_was_decides(room: QueueRoom, error: AvatarError | None, folder: str, tries: int) -> None:
    job = room.accept()

    async def live() -> None:
        taken, directory = await room.take(job)
        if error is None:
            await room.state_machine.put_back(taken, directory)
        else:
            await room.state_machine.fail_attempt(taken, directory, error)

    asyncio.run(live())
    assert room.where(job) == folder
    assert room.on_disk(job).attempts["tts"] == tries
    assert (job.id in room.ready_queue) == (folder == "tts/ready")


@pytest.mark.parametrize("error", [UNKNOWN, NOISE], ids=["unknown", "a wrong result"])
def test_an_unknown_fault_is_tried_so_often_and_then_fails(room: QueueRoom, error: AvatarError) -> None:
    room.set(retry={"attempts": 3})
    job = room.accept()

    async def live() -> None:
        for tries in (1, 2, 3):
            assert room.where(job) == "tts/ready", f"before try {tries}"
            await room.state_machine.fail_attempt(*await room.take(job), error)

    asyncio.run(live())
    assert room.where(job) == "failed"
    assert [entry["code"] for entry in room.on_disk(job).history] == [error.code] * 3
    assert room.status()["error"]["code"] == error.code


def test_the_machines_faults_never_use_up_the_tries(room: QueueRoom) -> None:
    room.set(retry={"attempts": 2})
    job = room.accept()

    async def live() -> None:
        # Given one try that failed / When the machine is at fault more often than there are tries
        await room.state_machine.fail_attempt(*await room.take(job), UNKNOWN)
        for _ in range(5):
            await room.state_machine.put_back(*await room.take(job))

    asyncio.run(live())
    # Then the job still has its second one
    assert room.on_disk(job).attempts == {"tts": 1}
    assert room.where(job) == "tts/ready"


@pytest.mark.parametrize(("luck", "more"), [(0.0, 1.0), (1.0, 1.5)])
def test_the_delay_doubles_up_to_its_limit_with_up_to_half_as_much_of_chance(
    room: QueueRoom, monkeypatch: pytest.MonkeyPatch, luck: float, more: float
) -> None:
    monkeypatch.setattr(random, "random", lambda: luck)
    room.set(retry={"attempts": 9, "first_delay_s": 100.0, "max_delay_s": 300.0})
    job = room.accept()

    async def live() -> None:
        for delay in (100.0, 200.0, 300.0, 300.0):
            before = time.time()
            await room.state_machine.fail_attempt(*await room.take(job), UNKNOWN)
            due = room.on_disk(job).not_before
            assert before + more * delay <= due <= time.time() + more * delay
            # And the queue does not give it before that
            assert room.ready_queue.head("tts", time.monotonic()) is None

    asyncio.run(live())


def test_each_attempt_notes_when_the_next_one_is_due(room: QueueRoom) -> None:
    room.set(retry={"crashes": 9, "attempts": 9, "first_delay_s": 100.0}, lanes={"pause_s": 100.0})
    job, machine = room.accept(), room.state_machine

    async def fail(end: str) -> None:
        taken, directory = await room.take(job)
        if end == "error":
            await machine.fail_attempt(taken, directory, UNKNOWN)
        elif end == "crash":
            await machine.record_crash(taken, directory, DEATH)
        else:
            await machine.put_back(taken, directory)

    async def live() -> None:
        for end in ("error", "crash", "fault of the machine"):
            await fail(end)
            record = room.on_disk(job)
            assert record.not_before > time.time()
            assert record.runs[-1].again == pytest.approx(record.not_before, abs=0.001)
        await machine.put_back(*await room.take(job), "returned")
        assert room.on_disk(job).runs[-1].again == 0.0

    asyncio.run(live())


def test_a_job_that_ends_its_processes_is_quarantined_with_its_last_lines(room: QueueRoom) -> None:
    room.set(retry={"crashes": 2, "attempts": 9})
    job = room.accept()

    async def live() -> None:
        await room.state_machine.record_crash(*await room.take(job), DEATH)
        assert room.where(job) == "tts/ready"
        await room.state_machine.record_crash(*await room.take(job), DEATH)

    asyncio.run(live())
    record = room.on_disk(job)
    assert room.where(job) == "failed"
    assert record.error is not None
    assert (record.error["code"], record.error["stage"], record.crashes) == ("quarantined", "tts", 2)
    assert DEATH.reason in record.error["message"]
    assert record.history[-1]["log"] == DEATH.tail[-20:]


def test_a_job_whose_machine_is_lost_is_not_charged_until_it_may_be_the_reason(room: QueueRoom) -> None:
    room.set(retry={"interruptions": 2, "attempts": 1})
    job = room.accept()
    by_itself = WorkerLost("The cluster was lost.", "ray-lost", with_machine=False)
    with_machine = WorkerLost("The machine was lost.", "node-lost", with_machine=True)

    async def live() -> None:
        for loss in (by_itself, by_itself, with_machine):
            await room.state_machine.record_loss(*await room.take(job), loss)
            assert room.where(job) == "tts/ready"
            assert room.on_disk(job).attempts["tts"] == 0
        await room.state_machine.record_loss(*await room.take(job), with_machine)

    asyncio.run(live())
    record = room.on_disk(job)
    assert record.error is not None
    assert (record.error["code"], record.crashes) == ("quarantined", 0)
    assert [entry["code"] for entry in record.history if entry["event"] == "lost"][-2:] == ["node-lost", "node-lost"]


def test_a_running_job_that_is_cancelled_keeps_what_a_retry_needs(room: QueueRoom) -> None:
    job = room.accept()

    async def live() -> None:
        taken, directory = await room.take(job)
        for name in ("source.audio", "speech.wav", ".speech.wav.tmp"):
            (directory / name).write_bytes(b"sound")
        await room.state_machine.finish_cancelled(taken, directory, "ann")

    asyncio.run(live())
    record = room.on_disk(job)
    assert (room.where(job), record.state, room.status()["state"]) == ("failed", "cancelled", "cancelled")
    kept = {path.name for path in room.spool.folder_of(record).iterdir()}
    assert "source.audio" in kept
    assert kept <= KEPT_FAILED
    assert room.state_machine.running == {}


def test_a_held_job_waits_until_it_is_released_and_goes_on_where_it_stood(room: QueueRoom) -> None:
    job = room.accept(stage="deliver")

    async def live() -> None:
        await room.state_machine.hold(job, room.spool.folder_of(job), "ann", "wrong voice")
        assert (room.where(job), len(room.ready_queue)) == ("held", 0)
        held = room.status()
        assert (held["state"], held["held"]["by"], held["held"]["reason"]) == ("held", "ann", "wrong voice")
        kept = room.on_disk(job)
        await room.state_machine.release(kept, room.spool.folder_of(kept), "ann")

    asyncio.run(live())
    assert room.where(job) == "deliver/ready"
    assert job.id in room.ready_queue
    assert "held" not in room.status()


def test_a_running_job_is_held_at_its_stages_end_and_that_is_on_disk_at_once(room: QueueRoom) -> None:
    job = room.accept()

    async def live() -> None:
        taken, directory = await room.take(job)
        await room.state_machine.hold(taken, directory, "ann", "")
        # Then the stage goes on, and a new start would know of the order
        assert room.where(job) == "tts/active"
        assert room.on_disk(job).held is not None
        await room.state_machine.advance(taken, directory, {}, [])

    asyncio.run(live())
    assert (room.where(job), room.on_disk(job).stage, len(room.ready_queue)) == ("held", "deliver", 0)


def test_a_full_disk_is_waited_for_and_nothing_is_done_twice(room: QueueRoom) -> None:
    job = room.accept()
    left = {"rename": 2, "sync_dir": 2}  # the folder cannot be moved, and later the move cannot be flushed

    def full(name: str, path: Path) -> None:
        if left.get(name, 0) and room.spool.root in path.parents:
            left[name] -= 1
            raise trouble(errno.ENOSPC, path)

    async def live() -> None:
        await room.take(job)
        await room.state_machine.durable.flushed()

    room.ops.before = full
    asyncio.run(live())
    # Then the job was taken once, when there was room, and people were told meanwhile
    assert left == {"rename": 0, "sync_dir": 0}
    assert room.where(job) == "tts/active"
    assert room.on_disk(job).attempts == {"tts": 1}
    assert sum(path == room.spool.active("tts") / job.id for name, path in room.ops.calls if name == "rename") == 3
    full_and_free = ["spool paused: disk-full"] * 2 + ["spool resumed"]
    assert room.diary.lines == [*full_and_free, "hello tts started", *full_and_free]


@pytest.mark.parametrize("call", ["touch", "rename"])
def test_a_job_that_cannot_be_started_stays_in_its_queue_for_another_try(room: QueueRoom, call: str) -> None:
    job = room.accept()

    def refuse(name: str, path: Path) -> None:
        if name == call and job.id in str(path):
            raise trouble(errno.EACCES, path)  # nobody's fault that we know

    room.ops.before = refuse
    with pytest.raises(PermissionError):
        asyncio.run(room.take(job))
    assert room.state_machine.running == {}
    # Then its turn comes again after a while, and it is charged once
    room.ops.before = lambda name, path: None
    assert room.ready_queue.head("tts", time.monotonic() + 1.0) is not None
    asyncio.run(room.take(job))
    assert room.on_disk(job).attempts == {"tts": 1}


def test_a_record_that_cannot_be_read_is_set_aside_and_stops_nobody(room: QueueRoom) -> None:
    broken, other = room.accept("broken"), room.accept("other")
    room.outbox.reserve_name("broken", broken.id, {"job": broken.id})
    (room.spool.folder_of(broken) / "job.json").write_text("{")
    ticket = next(ticket for ticket in room.ready_queue.tickets() if ticket.id == broken.id)
    assert asyncio.run(room.state_machine.start_attempt(ticket)) is None
    assert room.where(broken) == "failed"
    assert (room.spool.resting("failed") / broken.id / "job.json.bad").read_text() == "{"
    assert room.status("broken")["error"]["code"] == "job-unreadable"
    asyncio.run(room.take(other))
    assert room.where(other) == "tts/active"


Step = Callable[[QueueRoom, Job, Path], Awaitable[None]]

STEPS: dict[str, Step] = {
    "advance": lambda room, job, place: room.state_machine.advance(job, place, {}, []),
    "put back": lambda room, job, place: room.state_machine.put_back(job, place),
    "fail": lambda room, job, place: room.state_machine.fail_attempt(job, place, UNKNOWN),
    "lose": lambda room, job, place: room.state_machine.record_loss(
        job, place, WorkerLost("The machine was lost.", "node-lost", with_machine=True)
    ),
    "crash": lambda room, job, place: room.state_machine.record_crash(job, place, DEATH),
    "hold": lambda room, job, place: room.state_machine.hold(job, place, "ann", ""),
    "release": lambda room, job, place: room.state_machine.release(job, place, "ann"),
    "prioritise": lambda room, job, place: room.state_machine.prioritise(job, place, 5, "ann"),
}


@pytest.mark.parametrize("step", STEPS)
def test_no_way_leads_out_of_a_stage_that_the_job_has_left(room: QueueRoom, step: str) -> None:
    job = room.accept()

    async def live() -> None:
        # Given a job that failed / When somebody still believes that it runs
        taken, directory = await room.take(job)
        await room.state_machine.fail_attempt(taken, directory, NO_FACE)
        before = room.on_disk(job)
        with pytest.raises(FileNotFoundError):
            await STEPS[step](room, room.on_disk(job), directory)
        # Then that is refused, and the job is where it was, as it was
        assert room.on_disk(job) == before

    asyncio.run(live())
    assert room.where(job) == "failed"
    assert len(room.ready_queue) == 0
    assert [path.name for path in room.spool.root.glob("*/*/job-*")] == []
