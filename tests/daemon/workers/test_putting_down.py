"""A slot takes its next job while the last one is put down; a slow disk holds up neither, and nothing else meddles meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from daemon.queue.recovery import recover_spool
from tests.support.daemon.lane import SLOW, PlayedLane, turns, until
from tests.support.daemon.queue import PATIENCE_S, QueueRoom


class SlowFlush:
    """Lets one kind of calls for the paths of a folder wait for `go`: `rewrite` and `write` flush, too."""

    def __init__(self, room: QueueRoom, folder: Path, *calls: str) -> None:
        self.go, self.waits = threading.Event(), threading.Event()

        def before(name: str, path: Path) -> None:
            if name in calls and folder in (path, *path.parents):
                self.waits.set()
                assert threading.current_thread() is not threading.main_thread(), "a flush holds up the event loop"
                assert self.go.wait(PATIENCE_S)

        room.ops.before = before


@pytest.fixture
def flush(room: QueueRoom) -> Iterator[SlowFlush]:
    """The record with which a job leaves the stage `tts` waits for the disk."""
    slow = SlowFlush(room, room.spool.active("tts"), "write", "rewrite")
    yield slow
    slow.go.set()


def test_the_next_stage_does_not_wait_for_the_flush_of_the_move_into_its_queue(room: QueueRoom) -> None:
    lane = PlayedLane(room)
    room.accept()
    flush = SlowFlush(room, room.spool.root, "sync_dir")

    async def live() -> None:
        async with lane.running():
            try:
                # When no folder of the spool is flushed, the last stage is begun all the same, and only the end waits for it
                await until(lambda: len(lane.workers[0].requests) == 2)
                await until(flush.waits.is_set)
                await turns()
                assert "hello is done" not in room.diary.lines
            finally:
                flush.go.set()
            await room.diary.until("hello is done")

    asyncio.run(live())


def test_the_next_stage_of_the_same_job_waits_until_the_job_is_in_its_queue(room: QueueRoom, flush: SlowFlush) -> None:
    lane = PlayedLane(room)
    room.accept()

    async def live() -> None:
        async with lane.running():
            await until(flush.waits.is_set)
            await turns()
            assert [request.stage for request in lane.workers[0].requests] == ["tts"]
            flush.go.set()
            await room.diary.until("hello is done")

    asyncio.run(live())
    assert [request.stage for request in lane.workers[0].requests] == ["tts", "deliver"]


def test_a_job_whose_start_waits_for_the_disk_is_not_started_after_the_end_of_the_daemon_began(
    room: QueueRoom, flush: SlowFlush
) -> None:
    lane = PlayedLane(room, [SLOW])
    job = room.accept()

    async def live() -> None:
        lane.start()
        await lane.workers[0].works.wait()
        lane.workers[0].be_done()
        await until(flush.waits.is_set)  # the slot has chosen its next stage, which waits
        await turns()
        draining = asyncio.create_task(lane.drain(600.0))
        await turns()
        flush.go.set()
        await draining

    asyncio.run(live())
    assert [request.stage for request in lane.workers[0].requests] == ["tts"]
    record = room.on_disk(job)
    assert (room.where(job), record.attempts.get("deliver", 0)) == ("deliver/ready", 0)


def test_the_next_job_runs_while_the_last_one_is_put_down_on_a_slow_disk(room: QueueRoom, flush: SlowFlush) -> None:
    lane = PlayedLane(room, [SLOW, SLOW])
    jobs = {job.id: job for job in (room.accept("one"), room.accept("other"))}

    async def live() -> None:
        worker = lane.workers[0]
        async with lane.running():
            await until(lambda: len(worker.requests) == 1)
            first = jobs.pop(worker.requests[0].job)
            worker.be_done()
            await until(flush.waits.is_set)
            # When the other job runs, the first is still on its way, and in no queue for anybody else
            await until(lambda: len(worker.requests) == 2)
            assert worker.requests[1].job in jobs
            assert first.id in room.state_machine.running
            flush.go.set()
            await room.state_machine.durable.put_down(first.id)
            assert room.where(first) == "deliver/ready"

    asyncio.run(live())


def test_a_job_that_is_put_down_is_held_only_when_it_is_in_its_next_place(room: QueueRoom, flush: SlowFlush) -> None:
    job = room.accept()

    async def live() -> None:
        taken, directory = await room.take(job)
        room.state_machine.begin_to_put_down(taken)
        moving = asyncio.create_task(room.state_machine.advance(taken, directory, {}, []))
        await until(flush.waits.is_set)
        asked = asyncio.create_task(room.state_machine.durable.put_down(job.id))
        await turns()
        assert not asked.done()
        flush.go.set()
        await moving
        assert not asked.done()
        room.state_machine.end_putting_down(taken)
        await asked

    asyncio.run(live())
    assert room.where(job) == "deliver/ready"


def test_a_start_is_counted_by_the_move_alone_and_an_interrupted_job_is_not_charged(room: QueueRoom) -> None:
    job = room.accept()
    written = [call for call in room.ops.calls if call[0] in ("write", "rewrite")]
    asyncio.run(room.take(job))
    # The start writes no record, and yet another process reads from the folder that the stage runs, and since when
    assert [
        call for call in room.ops.calls if call[0] in ("write", "rewrite") and room.spool.root in call[1].parents
    ] == [call for call in written if room.spool.root in call[1].parents]
    seen = room.on_disk(job)
    assert (seen.state, seen.attempts, seen.since >= job.since) == ("running", {"tts": 1}, True)
    # When the daemon dies, the interruption is counted, and the attempt is not
    room.restart()
    assert asyncio.run(recover_spool(room.state_machine, room.outbox)) == 1
    again = room.on_disk(job)
    assert (room.where(job), again.attempts, again.interruptions) == ("tts/ready", {"tts": 0}, 1)
    # From then on its starts are flushed before its stage begins
    room.ops.calls.clear()
    asyncio.run(room.take(again))
    assert ("sync_dir", room.spool.active("tts")) in room.ops.calls


def test_a_move_that_was_recorded_and_not_made_counts_its_attempt_once(room: QueueRoom) -> None:
    job = room.accept()

    async def live() -> None:
        taken, directory = await room.take(job)
        taken.stage, taken.state = "deliver", "queued"
        room.spool.save_job(taken, directory)  # a crash here: the record is one step ahead of the folder

    asyncio.run(live())
    assert room.on_disk(job).attempts == {"tts": 1}
    assert room.on_disk(job).stage == "tts"


def test_other_slots_go_on_while_a_batch_is_put_down_whose_rows_are_checked(room: QueueRoom) -> None:
    # Given a batch whose only stage is done, and whose move to the batches waits for the disk
    lane = PlayedLane(room, slots=2)
    room.accept("batch", manifest={"kind": "batch", "rows": "people.csv"}, stages=("tts",))
    flush = SlowFlush(room, room.spool.batches, "sync_dir")

    async def live() -> None:
        async with lane.running():
            await until(flush.waits.is_set)
            # When the other slot looks for work / Then it goes on, though the batch has no stage any more
            room.state_machine.changed.notify()
            await turns()
            flush.go.set()
            await room.diary.until("batch is running")

    with structlog.testing.capture_logs() as logs:
        asyncio.run(live())
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []
