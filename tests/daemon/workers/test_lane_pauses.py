"""A lane pauses where the machine is at fault, and goes on. The workers are played by the tests."""

from __future__ import annotations

import asyncio
import threading

from daemon.jobs.facts import JobFacts
from tests.support.daemon.lane import DONE, FULL, PlayedLane, turns
from tests.support.daemon.queue import QueueRoom


def test_a_machine_fault_pauses_the_lane_charges_nobody_and_the_lane_goes_on(room: QueueRoom) -> None:
    lane = PlayedLane(room, [FULL, FULL, DONE])
    job = room.accept()

    async def live() -> None:
        async with lane.running():
            await room.diary.until("voice paused: disk-full")
            await room.diary.until("hello is done")

    asyncio.run(live())
    # Then the job was put back each time, and counted once when it worked
    assert room.on_disk(job).attempts == {"tts": 1, "deliver": 1}
    assert room.diary.lines.count("hello tts paused") == 2
    assert (room.diary.lines.count("voice resumed"), lane.pause) == (1, None)
    # And people were told that it works again as soon as it did
    assert room.diary.lines.index("voice resumed") < room.diary.lines.index("hello tts done")


def test_a_pause_does_not_end_while_the_files_of_the_next_job_are_looked_at(room: QueueRoom) -> None:
    # Given a pause that is over, and a job to be delivered whose file takes its time
    source = room.put_source("a.wav", b"a", still_s=3.0)
    room.accept(stage="deliver", facts=JobFacts(sources={"source.audio": source}))
    looking, answer = threading.Event(), threading.Event()

    def is_open(path: str) -> bool:
        looking.set()
        return not answer.wait(60)

    room.use_sources(is_open)
    lane = PlayedLane(room, slots=2, name="cpu")

    async def live() -> None:
        lane._pauses.begin(FULL)
        async with lane.running():
            await asyncio.to_thread(looking.wait, 60)
            # When another slot of the lane has nothing to do / Then the fault is not taken for mended
            room.state_machine.changed.notify()
            await turns()
            assert lane.pause is not None
            # But when the job succeeds
            answer.set()
            await room.diary.until("hello is done")
        assert lane.pause is None

    asyncio.run(live())


def test_a_paused_lane_takes_nothing_and_pauses_grow_up_to_ten_times(room: QueueRoom) -> None:
    room.set(lanes={"pause_s": 1000.0})
    lane = PlayedLane(room, [FULL])
    room.accept("one")
    room.accept("two")

    async def live() -> None:
        async with lane.running():
            await room.diary.until("one is queued")
            before = len(lane.runs)
            room.state_machine.changed.notify()
            await turns()
            assert len(lane.runs) == before

    asyncio.run(live())
    assert len(lane.workers[0].requests) == 1
    delays = []
    for _ in range(6):
        lane._pauses.begin(FULL)
        assert lane.pause is not None
        delays.append(lane.pause.delay_s)
    assert delays == [2000.0, 4000.0, 8000.0, 10_000.0, 10_000.0, 10_000.0]
