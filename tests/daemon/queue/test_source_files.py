"""A job is neither delivered, nor failed for a file that ends early, while one of its files is still being written."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from daemon.errors import JobError
from daemon.jobs.record import SOURCES, Job
from daemon.queue.recovery import recover_spool
from daemon.queue.source_files import LEAST_COST_S, LOOK_S, SHARE
from daemon.queue.state_machine import AWAITED, CANCELLED, COPIED_AGAIN
from daemon.system.file_key import file_key
from tests.support.queue_room import PowerCut, QueueRoom

#: How long a file of unknown writers must stand still, and how long is waited at all, in s.
STILL_S, PATIENCE_S = 30.0, 900.0
TRUNCATED = JobError("audio-truncated", "The sound file is incomplete.")
NAME = "a.wav"


class Case:
    """A job with one sound, of which `half` was there when it was copied."""

    def __init__(self, room: QueueRoom, stage: str) -> None:
        room.set(intake={"settle_unknown_s": STILL_S, "settle_mb_s": 0.0, "companion_wait_s": PATIENCE_S})
        self.error = TRUNCATED
        self.room, self.file = room, room.settings.paths.inbox / NAME
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(b"half")
        with self.file.open("rb") as file:
            source = {"path": NAME, "file": list(file_key(file.fileno())), "still_s": 2.0}
        self.job = room.accept(stage=stage, facts={SOURCES: {"source.audio": source}})
        (room.spool.folder_of(self.job) / "source.audio").write_bytes(b"half")

    def write(self, more: bytes = b" and half") -> None:
        with self.file.open("ab") as file:
            file.write(more)

    def take(self) -> tuple[Job, Path] | None:
        return asyncio.run(self.room.try_to_take(self.job))

    def go_on(self) -> None:
        """Start the job, unless it waits: it is delivered, or its stage finds that the file ends early."""

        async def live() -> None:
            taken = await self.room.try_to_take(self.job)
            if taken is not None and taken[0].stage != "deliver":
                await self.room.state_machine.fail_attempt(*taken, self.error)

        asyncio.run(live())

    def finish_stages(self) -> None:
        """Run the stages before the delivery."""

        async def live() -> None:
            await self.room.state_machine.advance(*await self.room.take(self.job), {}, [])

        asyncio.run(live())

    @property
    def where(self) -> str:
        return self.room.where(self.job)

    @property
    def copy(self) -> bytes:
        directory = self.room.spool.find_job(self.job.id)
        assert directory is not None
        return (directory / "source.audio").read_bytes()

    @property
    def record(self) -> Job:
        return self.room.on_disk(self.job)

    @property
    def events(self) -> list[str]:
        return [entry["event"] for entry in self.record.history]


@pytest.fixture
def ready_to_deliver(room: QueueRoom) -> Case:
    return Case(room, "deliver")


@pytest.fixture
def working(room: QueueRoom) -> Case:
    return Case(room, "tts")


@pytest.fixture(params=["deliver", "tts"])
def any_stage(room: QueueRoom, request: pytest.FixtureRequest) -> Case:
    """A job that is about to be delivered, and one whose stage finds that its file ends early."""
    return Case(room, request.param)


def test_a_file_that_is_open_for_writing_is_waited_for_however_still_it_stands(any_stage: Case) -> None:
    # Given a job whose file somebody has open for writing
    room = any_stage.room
    room.open_files.add(NAME)
    # When it is to be delivered, or its stage says that the file ends early / Then it goes back into its queue
    stage = any_stage.where
    for _ in range(20):
        any_stage.go_on()
        assert any_stage.where == stage
        assert room.ready_queue.head(any_stage.job.stage or "", time.monotonic()) is None, (
            "it is looked at without a pause"
        )
        room.now += STILL_S * 1.1
    # And its history says so once, without losing what was there
    assert any_stage.events.count(AWAITED) == 1
    assert any_stage.record.attempts.get(any_stage.record.stage or "", 0) == 0


def test_a_whole_file_is_delivered_at_once(ready_to_deliver: Case) -> None:
    ready_to_deliver.room.open_files.add("other.wav")
    taken = ready_to_deliver.take()
    assert taken is not None
    assert taken[0].warnings == []
    assert ready_to_deliver.where == "deliver/active"


def test_what_was_written_later_is_copied_when_it_has_stood_still_and_then_delivered(any_stage: Case) -> None:
    # Given a file that goes on in bursts after it was copied, more often than any count would allow, and a warning of its half
    room = any_stage.room
    job, directory = any_stage.record, room.spool.find_job(any_stage.job.id)
    assert directory is not None
    job.warnings = ["The sound file is damaged in places."]
    room.spool.save_job(job, directory)
    stage = any_stage.where
    for _ in range(12):
        any_stage.write(b" and more")
        any_stage.go_on()
        room.now += STILL_S * 0.9
        any_stage.go_on()
        assert any_stage.where == stage
    # When it has stood still for as long as a file of unknown writers must
    room.now += STILL_S * 0.2
    any_stage.go_on()
    # Then the job begins anew with all of it, once
    assert any_stage.where == "tts/ready"
    assert any_stage.copy == any_stage.file.read_bytes()
    assert any_stage.events.count(COPIED_AGAIN) == 1
    assert any_stage.record.facts[SOURCES]["source.audio"]["still_s"] >= STILL_S
    # And is delivered without another wait
    any_stage.finish_stages()
    taken = any_stage.take()
    assert taken is not None
    assert taken[0].warnings == []


@pytest.mark.parametrize("code", ["audio-truncated", "image-truncated", "audio-unreadable", "image-unreadable"])
def test_a_file_that_ends_early_fails_its_job_when_nothing_more_comes(working: Case, code: str) -> None:
    # Given a file that says that its end is missing, or that cannot be read without it
    working.error = JobError(code, "The file is incomplete.")
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += STILL_S - 10.0
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += 20.0
    working.go_on()
    assert working.where == "failed"
    assert (working.record.error or {})["code"] == code
    assert working.record.warnings == []


def test_a_whole_file_with_another_fault_fails_its_job_at_once(working: Case) -> None:
    working.error = JobError("no-face", "No face was found.")
    working.go_on()
    assert working.where == "failed"


def test_a_new_copy_that_ends_early_is_waited_for_anew(working: Case) -> None:
    # Given a file that got a part of its rest, and stood still
    working.write()
    working.go_on()
    working.room.now += STILL_S * 1.1
    working.go_on()
    assert working.copy == b"half and half"
    # When that ends early, too, and its writer is back / Then it is waited for as the first time
    working.write(b" and the rest")
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += STILL_S * 1.1
    working.go_on()
    assert working.copy == b"half and half and the rest"
    assert working.where == "tts/ready"


def test_no_file_is_waited_for_longer_than_a_manifest_waits_for_its_files(any_stage: Case) -> None:
    # Given a file that is written to without end
    room = any_stage.room
    room.open_files.add(NAME)
    any_stage.write()
    any_stage.go_on()
    room.now += PATIENCE_S + 5.0
    # When the time is over / Then what is there is copied, once
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")
    if any_stage.job.stage == "deliver":
        any_stage.finish_stages()
    any_stage.write(b" and more")
    # And the job ends with that, and says so
    any_stage.go_on()
    assert any_stage.copy == b"half and half" if any_stage.where == "failed" else any_stage.where == "deliver/active"
    assert any("may be incomplete" in warning and NAME in warning for warning in any_stage.record.warnings)


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_setting_the_clock_ends_no_wait_for_a_file(
    any_stage: Case, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    stage = any_stage.where
    any_stage.room.open_files.add(NAME)
    any_stage.go_on()
    asyncio.run(
        any_stage.room.state_machine.prioritise(
            any_stage.record, any_stage.room.spool.folder_of(any_stage.record), 1, "me"
        )
    )
    any_stage.go_on()
    assert any_stage.where == stage
    any_stage.room.now += PATIENCE_S + 5.0
    any_stage.go_on()
    assert any_stage.where != stage


def test_a_file_that_was_replaced_is_not_waited_for(ready_to_deliver: Case) -> None:
    # Given a sound in whose place another one is being written
    ready_to_deliver.room.open_files.add(NAME)
    other = ready_to_deliver.file.with_name("other")
    other.write_bytes(b"half of another sound")
    other.replace(ready_to_deliver.file)
    # Then the job is delivered with its own
    taken = ready_to_deliver.take()
    assert taken is not None
    assert ready_to_deliver.copy == b"half"


def test_a_disk_without_room_for_the_rest_delivers_no_half(ready_to_deliver: Case) -> None:
    # Given a file that grew, and no room for it beside the reserve
    ready_to_deliver.room.set(intake={"reserve_mb": 10**9})
    ready_to_deliver.write()
    ready_to_deliver.take()
    ready_to_deliver.room.now += STILL_S * 1.1
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.where == "deliver/ready"
    # When there is room / Then it is copied
    ready_to_deliver.room.set(intake={"reserve_mb": 0})
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.copy == b"half and half"


def test_a_restart_of_the_daemon_waits_on(any_stage: Case) -> None:
    # Given a job that waits for a file that grew, long after it was accepted
    room = any_stage.room
    stage = any_stage.where
    any_stage.write()
    any_stage.go_on()
    room.now += PATIENCE_S - STILL_S
    # When the daemon starts again
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then the file must stand still again, as what it did meanwhile is unknown
    any_stage.go_on()
    assert any_stage.where == stage
    room.now += STILL_S * 1.1
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")


@pytest.mark.parametrize("call", ["rename", "exchange", "sync_dir"])
def test_a_crash_while_a_file_is_copied_again_is_repeated(ready_to_deliver: Case, call: str) -> None:
    # Given a job whose file is whole now
    room, job = ready_to_deliver.room, ready_to_deliver.job
    ready_to_deliver.write()
    ready_to_deliver.take()
    room.now += STILL_S * 1.1
    (room.spool.folder_of(job) / "tts.done.json").write_text("{}")

    def cut(name: str, path: Path) -> None:
        # From the moment that the record says that the job begins anew
        if name == call and room.on_disk(job).facts.get("restart"):
            raise PowerCut

    # When the world ends in the middle
    room.ops.before = cut
    with pytest.raises(PowerCut):
        ready_to_deliver.take()
    room.ops.before = lambda name, path: None
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then it begins anew all the same, and is delivered with the whole file
    assert ready_to_deliver.where == "tts/ready"
    directory = room.spool.find_job(job.id)
    assert directory is not None
    assert not (directory / "tts.done.json").exists()
    ready_to_deliver.finish_stages()
    for _ in range(3):
        if ready_to_deliver.take() is not None:
            break
        room.now += STILL_S * 1.1
        if ready_to_deliver.where == "tts/ready":
            ready_to_deliver.finish_stages()
    assert ready_to_deliver.where == "deliver/active"
    assert ready_to_deliver.copy == b"half and half"


@pytest.mark.parametrize("order", ["cancel", "hold"])
def test_people_are_obeyed_while_a_file_is_looked_at(ready_to_deliver: Case, order: str) -> None:
    # Given an inbox that takes its time to answer
    room, job = ready_to_deliver.room, ready_to_deliver.job
    looking, answer = threading.Event(), threading.Event()

    def is_open(path: str) -> bool:
        looking.set()
        return not answer.wait(60)

    room.use_sources(is_open)

    async def live() -> tuple[Job, Path] | None:
        start = asyncio.create_task(room.try_to_take(job))
        await asyncio.to_thread(looking.wait, 60)
        # When somebody cancels or holds the job meanwhile
        directory = room.spool.find_job(job.id)
        assert directory is not None
        running = room.state_machine.running[job.id]
        if order == "cancel":
            await room.state_machine.finish(running, directory, "cancelled", CANCELLED)
        else:
            await room.state_machine.hold(running, directory, "me", "")
        answer.set()
        return await start

    # Then it is not delivered
    assert asyncio.run(live()) is None
    assert ready_to_deliver.where == {"cancel": "failed", "hold": "held"}[order]
    assert job.id not in room.state_machine.running
    assert job.id not in room.ready_queue


def test_an_inbox_that_does_not_answer_is_named_and_not_waited_for(
    ready_to_deliver: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.queue.source_files.ANSWER_S", 0.01)
    answer = threading.Event()
    ready_to_deliver.room.use_sources(lambda path: not answer.wait(60))
    taken = ready_to_deliver.take()
    answer.set()
    assert taken is not None
    assert any("did not answer" in warning for warning in taken[0].warnings)


def test_looks_at_a_file_follow_each_other_soon(ready_to_deliver: Case) -> None:
    ready_to_deliver.write()
    ready_to_deliver.take()
    due = ready_to_deliver.room.ready_queue.next_due()
    assert due is not None
    assert due - time.monotonic() <= LOOK_S


def test_thousands_of_jobs_that_wait_for_a_file_do_not_fill_the_lane_with_looks(ready_to_deliver: Case) -> None:
    # Given one file that is held open, and many jobs that name it
    room, count = ready_to_deliver.room, 300
    room.open_files.add(NAME)
    jobs = [room.accept(f"job{number}", "deliver", facts=ready_to_deliver.job.facts) for number in range(count)]

    async def look() -> None:
        for job in jobs:
            assert await room.try_to_take(job) is None

    # When each has been looked at / Then so many looks take only a small part of the time until the next ones
    asyncio.run(look())
    last = max(ticket.not_before for ticket in room.ready_queue.tickets())
    assert last - time.monotonic() > 0.9 * count * LEAST_COST_S / SHARE


def test_a_file_that_got_other_content_after_it_grew_is_not_waited_for_any_more(ready_to_deliver: Case) -> None:
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None
    ready_to_deliver.file.write_bytes(b"something else")
    assert ready_to_deliver.take() is None
    ready_to_deliver.room.now += STILL_S * 1.1
    taken = ready_to_deliver.take()
    assert taken is not None
    assert (ready_to_deliver.copy, taken[0].warnings) == (b"half", [])
