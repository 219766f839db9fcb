"""A lane loads its stages before a job comes. The workers are played by the tests."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.daemon.lane import STAGES, PlayedLane, turns, until
from tests.support.daemon.queue import QueueRoom


def test_the_first_worker_loads_its_stages_before_a_job_comes_and_stays(room: QueueRoom) -> None:
    room.set(lanes={"idle_s": 0.0})
    lane = PlayedLane(room, slots=2, preloads=STAGES)
    first, second = lane.workers

    async def live() -> None:
        async with lane.running():
            await until(lambda: first.preloaded == ["tts", "deliver"])
            await turns()
            # Given a job / Then the slot without a process leaves it to the one that stands ready
            room.accept()
            room.state_machine.changed.notify()
            await room.diary.until("hello is done")
            for _ in range(5):
                room.state_machine.changed.notify()
                await turns()
            assert first.alive
            assert first.stops == []

    asyncio.run(asyncio.wait_for(live(), 60.0))
    assert [request.stage for request in first.requests] == ["tts", "deliver"]
    assert (second.requests, second.preloaded) == ([], [])


def test_a_job_that_comes_while_a_stage_is_loaded_goes_before_the_next_one(room: QueueRoom) -> None:
    lane = PlayedLane(room, preloads=STAGES)
    worker = lane.workers[0]
    order: list[str] = []

    async def load(stage: str) -> float:
        order.append(f"{stage} loaded after {len(worker.requests)} requests")
        worker._up = True
        if stage == "tts":
            room.accept()
            room.state_machine.changed.notify()
            await turns()
        return 0.0

    async def live() -> None:
        worker.preload = load  # type: ignore[method-assign]
        async with lane.running():
            await until(lambda: len(order) == 2)

    asyncio.run(asyncio.wait_for(live(), 60.0))
    assert order == ["tts loaded after 0 requests", "deliver loaded after 2 requests"]


def test_a_process_that_dies_while_it_loads_is_not_started_again_and_jobs_are_tried(room: QueueRoom) -> None:
    lane = PlayedLane(room, preloads=STAGES)
    worker = lane.workers[0]

    async def live() -> None:
        ends = asyncio.Event()
        ends.set()
        worker.loads = [ends]
        async with lane.running():
            for _ in range(5):
                room.state_machine.changed.notify()
                await turns()
            assert worker.preloaded == ["tts"]
            assert lane.pause is None
            room.accept()
            room.state_machine.changed.notify()
            await room.diary.until("hello is done")
            # When its process ends later / Then it loads anew, once: it has done a job in between
            await worker.stop()
            room.state_machine.changed.notify()
            await until(lambda: worker.preloaded == ["tts", "tts", "deliver"])
            await worker.stop()
            for _ in range(5):
                room.state_machine.changed.notify()
                await turns()
            assert not worker.alive

    asyncio.run(asyncio.wait_for(live(), 60.0))


def test_where_memory_is_short_nothing_is_loaded_ahead_and_an_idle_worker_ends(
    room: QueueRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lane", "preloading"):
        monkeypatch.setattr(f"daemon.workers.{module}.is_short", lambda: True)
    room.set(lanes={"idle_s": 0.0})
    lane = PlayedLane(room, preloads=STAGES)
    worker = lane.workers[0]

    async def live() -> None:
        async with lane.running():
            await turns()
            assert (worker.preloaded, worker.alive) == ([], False)
            room.accept()
            room.state_machine.changed.notify()
            await room.diary.until("hello is done")
            while worker.alive:
                room.state_machine.changed.notify()
                await asyncio.sleep(0)
            # And what was ended for its memory does not take it again
            for _ in range(5):
                room.state_machine.changed.notify()
                await turns()
            assert (worker.preloaded, worker.alive) == ([], False)

    asyncio.run(asyncio.wait_for(live(), 60.0))
