"""A job is neither delivered, nor failed for a file that ends early, while one of its files is still being written."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from pathlib import Path

import pytest

from daemon.errors import JobError
from daemon.jobs.facts import JobFacts, SourceFile
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.jobs.waits import AWAITED
from daemon.queue.awaited_files import COPIED_AGAIN, UNCHECKED
from daemon.queue.job_end import CANCELLED
from daemon.queue.recovery import recover_spool
from daemon.queue.source_files import LEAST_COST_S, LOOK_S, SHARE
from daemon.system.file_key import file_key
from daemon.system.mount_guard import MARK
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
            source = SourceFile(NAME, list(file_key(file.fileno())), 2.0)
        self.job = room.accept(stage=stage, facts=JobFacts(sources={"source.audio": source}))
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
    assert any_stage.record.facts.sources["source.audio"].still_s >= STILL_S
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


@pytest.mark.parametrize("how", ["removed", "replaced", "overwritten"])
def test_a_file_whose_rest_does_not_come_any_more_is_named(ready_to_deliver: Case, how: str) -> None:
    # Given a job that waits for the rest of a file, also after somebody gave it another priority
    room, job = ready_to_deliver.room, ready_to_deliver.job
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None
    asyncio.run(room.state_machine.prioritise(ready_to_deliver.record, room.spool.folder_of(job), 1, "me"))
    # When that file is gone, another one stands in its place, or other content in it
    if how == "removed":
        ready_to_deliver.file.unlink()
    elif how == "replaced":
        other = ready_to_deliver.file.with_name("other")
        other.write_bytes(b"half of another sound")
        other.replace(ready_to_deliver.file)
    else:
        ready_to_deliver.file.write_bytes(b"something else")
        assert ready_to_deliver.take() is None
        room.now += STILL_S * 1.1
    taken = ready_to_deliver.take()
    # Then the job is delivered with the part that it has, and says so
    assert taken is not None
    assert any(NAME in warning and "while the job waited" in warning for warning in taken[0].warnings)


def test_an_unmounted_inbox_ends_no_wait_for_the_rest_of_a_file(any_stage: Case) -> None:
    # Given a job that waits for the rest of a file
    room = any_stage.room
    room.mount_guard().check()
    inbox, away = room.settings.paths.inbox, room.settings.paths.inbox.with_name("away")
    any_stage.write()
    any_stage.go_on()
    stage = any_stage.where
    # When another folder stands in the inbox's place, as when a share is gone
    inbox.rename(away)
    inbox.mkdir()
    (inbox / MARK).write_text("0123\n")
    for _ in range(3):
        room.now += STILL_S * 1.1
        any_stage.go_on()
        assert any_stage.where == stage
    # Then it waits until the inbox is back, and gets the rest
    (inbox / MARK).unlink()
    inbox.rmdir()
    away.rename(inbox)
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")
    assert any_stage.record.warnings == []


def test_a_file_that_the_disk_cannot_read_now_ends_no_wait(
    ready_to_deliver: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None

    def fail(root: Path, path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("daemon.queue.source_files.path_by_descriptor", fail)
        ready_to_deliver.room.now += STILL_S * 1.1
        assert ready_to_deliver.take() is None
        assert ready_to_deliver.copy == b"half"
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.copy == b"half and half"


def test_an_inbox_that_stays_away_is_waited_for_no_longer_than_a_file(ready_to_deliver: Case) -> None:
    room = ready_to_deliver.room
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None
    room.settings.paths.inbox.rename(room.settings.paths.inbox.with_name("away"))
    room.now += PATIENCE_S / 2
    assert ready_to_deliver.take() is None
    room.now += PATIENCE_S
    taken = ready_to_deliver.take()
    assert taken is not None
    assert UNCHECKED in taken[0].warnings


def test_a_job_that_waits_for_no_file_is_delivered_while_the_inbox_is_away(ready_to_deliver: Case) -> None:
    room = ready_to_deliver.room
    room.settings.paths.inbox.rename(room.settings.paths.inbox.with_name("away"))
    taken = ready_to_deliver.take()
    assert taken is not None
    assert taken[0].warnings == [UNCHECKED]


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
        if name == call and room.on_disk(job).facts.restart:
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


@pytest.mark.parametrize("stage", ["deliver", "tts"])
@pytest.mark.parametrize("after", ["the record", "the copy"])
def test_a_crash_while_a_late_copy_is_installed_keeps_no_half(room: QueueRoom, stage: Stage, after: str) -> None:
    # Given a job whose file is written to without end, when the time for waiting is over
    case = Case(room, stage)
    room.open_files.add(NAME)
    case.write()
    room.now += PATIENCE_S + 5.0

    def cut(name: str, path: Path) -> None:
        if not room.on_disk(case.job).facts.restart:
            return
        if case.copy == b"half and half" or (name == "rename" and after == "the record"):
            raise PowerCut

    # When the world ends after the record says that there is a new copy
    room.ops.before = cut
    with pytest.raises(PowerCut):
        case.go_on()
    room.ops.before = lambda name, path: None
    assert case.copy == (b"half" if after == "the record" else b"half and half")
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then it begins anew with that copy, and its warning tells of that one
    assert (case.where, case.copy) == ("tts/ready", b"half and half")
    assert any("may be incomplete" in warning for warning in case.record.warnings)
    assert [path.name for path in room.spool.folder_of(case.record).glob(".source*")] == []


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
    assert UNCHECKED in taken[0].warnings


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


@pytest.mark.parametrize("how", ["hold", "cancel", "cancel while it is looked at", "fail"])
def test_jobs_that_left_the_queue_delay_no_look_at_others(ready_to_deliver: Case, how: str) -> None:
    # Given many jobs that waited for a file, and were held, cancelled or failed
    room, count = ready_to_deliver.room, 300
    room.open_files.add(NAME)
    machine = room.state_machine

    async def leave(job: Job) -> None:
        start = asyncio.create_task(room.try_to_take(job))
        if how == "cancel while it is looked at":
            await asyncio.sleep(0)
            await machine.finish(machine.running[job.id], room.spool.folder_of(job), "cancelled", CANCELLED)
        assert await start is None
        if how == "hold":
            await machine.hold(room.on_disk(job), room.spool.folder_of(job), "me", "")
        elif how == "cancel":
            await machine.finish(room.on_disk(job), room.spool.folder_of(job), "cancelled", CANCELLED)
        elif how == "fail":
            await machine.set_aside_unreadable(room.spool.folder_of(job), "somebody damaged it")

    async def live() -> None:
        for number in range(count):
            await leave(room.accept(f"job{number}", "deliver", facts=ready_to_deliver.job.facts))
        # When another job waits / Then it is looked at soon
        assert await room.try_to_take(ready_to_deliver.job) is None

    asyncio.run(live())
    (ticket,) = room.ready_queue.tickets()
    assert ticket.not_before - time.monotonic() <= LOOK_S
