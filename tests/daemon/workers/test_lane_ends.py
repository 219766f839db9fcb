"""Jobs that are cancelled, and the end of the daemon, while a lane works. The workers are played by the tests."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from daemon.cli.status_snapshot import describe_slot
from daemon.control.operations import Operations
from daemon.errors import JobError, WorkerDied
from daemon.intake.admission import Admission
from daemon.intake.batches.keeper import BatchKeeper
from daemon.jobs.facts import JobFacts
from daemon.queue.pauses import Pauses
from daemon.system.disk_thread import DiskThread
from daemon.telemetry.slots import gpu_slots
from daemon.workers.devices import Device
from tests.support.daemon.lane import ENDLESS, SLOW, PlayedLane, turns, until
from tests.support.daemon.queue import PATIENCE_S, QueueRoom


def test_a_cancelled_stage_is_ended_at_once_and_is_no_crash(room: QueueRoom) -> None:
    lane = PlayedLane(room, [ENDLESS])
    job = room.accept()
    room.accept("other")

    async def live() -> None:
        async with lane.running():
            await lane.workers[0].works.wait()
            assert not await lane.cancel("job-20260101T000000Z-00000000")  # somebody else's
            assert await lane.cancel(job.id)
            await room.diary.until("hello is cancelled")
            await room.diary.until("other is done")  # and the order was for one job only

    asyncio.run(live())
    record = room.on_disk(job)
    assert (record.state, record.crashes) == ("cancelled", 0)
    assert lane.workers[0].stops[0] == 0
    assert "voice worker died: worker-crashed" not in room.diary.lines


def test_a_job_whose_files_are_looked_at_after_its_stage_failed_can_be_cancelled(room: QueueRoom) -> None:
    # Given a job whose stage found that its sound ends early, and an inbox that takes its time to tell who writes it
    room.set(intake={"companion_wait_s": 900.0})
    source = room.put_source("a.wav", b"a", still_s=3.0)
    job = room.accept(facts=JobFacts(sources={"source.audio": source}))
    looking, answer = threading.Event(), threading.Event()

    def is_open(path: str) -> bool:
        looking.set()
        return answer.wait(60)

    room.use_sources(is_open)
    lane = PlayedLane(room, [JobError("audio-truncated", "The sound file is incomplete.")])
    machine = room.state_machine
    admission = Admission(room.settings, room.spool, room.outbox, room.ready_queue, machine.events)
    pauses, disk = Pauses(room.spool.root / "paused.json"), DiskThread("inbox")
    batches = BatchKeeper(room.settings, room.spool, room.outbox, machine, admission.claims.builder, disk)
    operations = Operations(machine, admission, [lane], pauses, machine.events, disk, batches)

    async def live() -> None:
        async with lane.running():
            await asyncio.to_thread(looking.wait, 60)
            # When it is cancelled meanwhile
            cancel = asyncio.create_task(operations.run_request({"op": "cancel", "job": job.id}))
            await turns()
            answer.set()
            # Then it is, although its file is still being written
            assert await cancel == f"{job.name} is cancelled."

    asyncio.run(live())
    assert (room.on_disk(job).state, len(room.ready_queue)) == ("cancelled", 0)


def test_a_job_that_is_being_delivered_can_no_longer_be_cancelled(room: QueueRoom) -> None:
    lane = PlayedLane(room, [ENDLESS])
    job = room.accept(stage="deliver")

    async def live() -> None:
        async with lane.running():
            await lane.workers[0].works.wait()
            with pytest.raises(JobError) as refused:
                await lane.cancel(job.id)
            assert refused.value.code == "job-finished"
            assert lane.workers[0].stops == []

    asyncio.run(live())


def test_at_the_end_of_the_daemon_running_jobs_go_back_uncharged(room: QueueRoom) -> None:
    lane = PlayedLane(room, [ENDLESS])
    job, other = room.accept(), room.accept("other")

    async def live() -> None:
        async with lane.running():
            await lane.workers[0].works.wait()

    asyncio.run(live())
    record = room.on_disk(job)
    assert (room.where(job), record.attempts, record.crashes) == ("tts/ready", {"tts": 0}, 0)
    assert record.not_before == 0  # it is the first at the next start
    assert "voice worker died: worker-crashed" not in room.diary.lines
    # And nothing new was begun
    assert room.on_disk(other).attempts == {}


def test_a_stage_that_ends_in_time_at_the_end_of_the_daemon_is_not_lost(room: QueueRoom) -> None:
    lane = PlayedLane(room, [SLOW])
    job = room.accept()

    async def live() -> None:
        lane.start()
        await lane.workers[0].works.wait()
        draining = asyncio.create_task(lane.drain(600.0))
        await turns()
        lane.workers[0].be_done()
        await draining

    asyncio.run(live())
    assert room.where(job) == "deliver/ready"


def test_at_the_end_of_the_daemon_a_worker_that_is_started_ahead_of_a_job_is_not_waited_for(room: QueueRoom) -> None:
    # Given a slot on another machine, whose worker is started first, and a cluster that has no room for it yet
    lane = PlayedLane(room)
    worker = lane.workers[0]
    starts = asyncio.Event()

    async def start() -> None:
        starts.set()
        await worker._ended.wait()
        raise WorkerDied("The worker was ended before it began with this job.", "worker-crashed", [])

    async def look() -> int | None:
        return None

    worker.starts_first, worker.start = True, start  # type: ignore[method-assign]
    lane._watch = SimpleNamespace(look=look, device=Device())
    job = room.accept()

    async def live() -> None:
        lane.start()
        await starts.wait()
        # When the daemon ends / Then it does not wait for as long as running stages are given
        async with asyncio.timeout(PATIENCE_S):
            await lane.drain(10 * PATIENCE_S)

    asyncio.run(live())
    record = room.on_disk(job)
    assert (record.state, record.attempts.get("tts", 0)) == ("queued", 0)


def test_a_job_goes_on_while_the_gpu_of_its_slot_is_looked_at(room: QueueRoom) -> None:
    # Given a driver that answers before a process is started, and then takes its time
    lane = PlayedLane(room)
    lane.device = Device("0", "GPU-000", "GPU-000", "RTX")
    asked, answer = asyncio.Event(), asyncio.Event()

    async def look() -> int | None:
        if lane.workers[0].requests:
            asked.set()
            await answer.wait()
        return 7

    lane._watch = SimpleNamespace(look=look, device=lane.device)
    job = room.accept()

    async def live() -> None:
        async with lane.running():
            # When a job has ended that may have loaded models
            await asked.wait()
            # Then it is in its next queue, and the slot takes no other one before it knows how much memory is free
            await until(lambda: room.where(job) == "deliver/ready")
            await turns()
            assert len(lane.workers[0].requests) == 1
            assert describe_slot(gpu_slots([lane])[0]) == "is between two jobs"
            # And whoever cancels the job is not told that it runs there
            assert not await lane.cancel(job.id)
            answer.set()
            await until(lambda: room.where(job) != "deliver/ready")
            assert lane.slots[0].free_bytes == 7

    asyncio.run(asyncio.wait_for(live(), PATIENCE_S))
