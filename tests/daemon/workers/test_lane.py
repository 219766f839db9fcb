"""A lane gives jobs to its workers and does what their answers ask for. The workers are played by the tests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from daemon.config.settings import GpuLane
from daemon.jobs.facts import JobFacts, SourceFile
from daemon.queue.pauses import Pauses
from daemon.queue.ready_queue import ReadyQueue
from daemon.wire import ModelChange, Result, RunRequest, TimeLeft
from daemon.workers.scheduler import Scheduler
from daemon.workers.slot import Slot
from tests.support.daemon.lane import DEATH, ENDLESS, NOISE, PlayedLane
from tests.support.daemon.queue import QueueRoom


def test_a_lane_brings_jobs_through_its_stages_and_tells_the_worker_what_to_do(room: QueueRoom) -> None:
    room.settings.paths.inbox.mkdir()
    lane = PlayedLane(room, [Result(facts={"audio_s": 2.0}, warnings=["quiet"])])
    job = room.accept(facts=JobFacts(sources={"source.audio": SourceFile("a.wav", None, 3.0)}))

    async def live() -> None:
        async with lane.running():
            await room.diary.until("hello is done")

    asyncio.run(live())
    first, second = lane.workers[0].requests
    assert first == RunRequest(
        job=job.id,
        name="hello",
        stage="tts",
        dir=room.spool.active("tts") / job.id,
        manifest=job.manifest,
        still_s={"source.audio": 3.0},
    )
    assert second.stage == "deliver"
    record = room.on_disk(job)
    assert (record.facts.of("tts"), record.warnings) == ({"audio_s": 2.0}, ["quiet"])
    assert lane.slots[0].job is None


def test_a_wrong_result_is_its_jobs_alone_and_the_lane_runs_on(room: QueueRoom) -> None:
    room.set(retry={"first_delay_s": 1000.0, "max_delay_s": 1000.0})
    lane = PlayedLane(room, [NOISE])
    noisy = room.accept("noisy")
    room.accept("other")

    async def live() -> None:
        async with lane.running():
            await room.diary.until("other is done")

    asyncio.run(live())
    assert not any("paused" in line for line in room.diary.lines)
    assert (room.where(noisy), room.on_disk(noisy).attempts) == ("tts/ready", {"tts": 1})


def test_a_job_whose_worker_dies_is_quarantined_after_so_many_and_others_go_on(room: QueueRoom) -> None:
    room.set(retry={"crashes": 2})
    lane = PlayedLane(room, [DEATH, DEATH])
    poison = room.accept("poison", priority=1)
    room.accept("other")

    async def live() -> None:
        async with lane.running():
            await room.diary.until("poison is failed")
            await room.diary.until("other is done")

    asyncio.run(live())
    error = room.on_disk(poison).error
    assert error is not None
    assert error["code"] == "quarantined"
    assert room.diary.lines.count("voice worker died: worker-crashed") == 2


def test_a_fault_of_the_daemons_own_costs_the_job_a_try_and_not_the_lane(room: QueueRoom) -> None:
    room.set(retry={"attempts": 1})
    lane = PlayedLane(room, [KeyError("facts")])
    job = room.accept()
    room.accept("other")

    async def live() -> None:
        async with lane.running():
            await room.diary.until("hello is failed")
            await room.diary.until("other is done")

    asyncio.run(live())
    record = room.on_disk(job)
    assert record.error is not None
    assert record.error["code"] == "internal-error"
    assert "KeyError" in record.history[-1]["traceback"]


def test_a_job_whose_folder_was_taken_away_does_not_end_the_lane(room: QueueRoom) -> None:
    lane = PlayedLane(room)
    gone = room.accept("gone", priority=1)
    room.accept("other")
    place = room.spool.folder_of(gone)
    for path in place.iterdir():
        path.unlink()
    place.rmdir()

    async def live() -> None:
        async with lane.running():
            await room.diary.until("other is done")

    asyncio.run(live())
    assert gone.id not in room.ready_queue
    assert room.state_machine.running == {}


def test_each_slot_works_for_itself(room: QueueRoom) -> None:
    lane = PlayedLane(room, [ENDLESS], slots=2)
    room.accept("slow")
    room.accept("quick")

    async def live() -> None:
        async with lane.running():
            await room.diary.until("quick is done")
            assert [slot.job.name if slot.job else None for slot in lane.slots] == ["slow", None]

    asyncio.run(live())


def test_a_run_of_one_stage_is_counted_and_begins_anew_with_another(room: QueueRoom) -> None:
    lane = PlayedLane(room)
    for name in ("one", "two"):
        room.accept(name)

    async def live() -> None:
        async with lane.running():
            await room.diary.until("two is done")

    asyncio.run(live())
    assert [request.stage for request in lane.workers[0].requests] == ["tts", "tts", "deliver", "deliver"]
    assert lane.runs[:5] == [0, 1, 2, 1, 2]


def test_a_worker_without_work_is_ended_and_gives_its_memory_back(room: QueueRoom) -> None:
    room.set(lanes={"idle_s": 0.0})
    lane = PlayedLane(room)
    room.accept()

    async def live() -> None:
        async with lane.running():
            await room.diary.until("hello is done")
            while lane.workers[0].alive:
                room.state_machine.changed.notify()
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(live(), 60.0))
    assert lane.workers[0].stops[0] > 0  # it may end by itself


def test_what_a_worker_says_beside_its_results_is_told(room: QueueRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(room.diary, "model_changed", lambda *args: told.append(args), raising=False)
    monkeypatch.setattr(room.diary, "stage_left", lambda *args: told.append(args), raising=False)
    worker = PlayedLane(room, slots=2, name="cpu").workers[1]
    change = ModelChange(stage="tts", model="kokoro", seconds=2)
    worker.say(change)
    worker.say(TimeLeft(job="job-1", value=9))
    # Also which slot loads, as the records of jobs call it
    assert told == [(change.model_copy(update={"slot": "cpu-2"}),), ("job-1", 9.0)]


def test_of_slots_that_are_alike_the_one_that_asks_takes_the_job_and_one_that_is_about_to_load_does_not(
    room: QueueRoom, tmp_path: Path
) -> None:
    lane = PlayedLane(room, slots=2)
    scheduler = Scheduler(room.settings, room.ready_queue, Pauses(tmp_path / "paused.json"))
    scheduler.slots["voice"] = lane.slots
    job = room.accept()
    first, second = lane.slots

    def asks(slot: Slot) -> str | None:
        ticket = scheduler.next_ticket("voice", slot, time.monotonic())
        return ticket.id if ticket else None

    assert asks(first) == asks(second) == job.id
    first.preloading_since = time.monotonic() - 1000.0
    assert (asks(first), asks(second)) == (None, job.id)
    # And one that pauses is no reason to wait
    second.paused_until = time.monotonic() + 1000.0
    assert asks(first) == job.id


@pytest.mark.parametrize(
    ("devices", "portable", "paused", "goes"),
    [
        ("all", True, False, ("here", "there")),
        ("all", False, False, ("here",)),
        ("none", True, False, ("there",)),  # which has a GPU
        ("none", False, False, ("here",)),
        ("none", True, True, ("here",)),  # the cluster is gone
    ],
)
def test_a_job_goes_elsewhere_where_it_can_and_where_the_gpus_are(
    room: QueueRoom, tmp_path: Path, devices: str, portable: bool, paused: bool, goes: tuple[str, ...]
) -> None:
    room.set(lanes={"gpu": GpuLane.model_validate({"devices": devices})})
    ready = ReadyQueue(lane_of=lambda _: "gpu", is_portable=lambda _: portable)
    scheduler = Scheduler(room.settings, ready, Pauses(tmp_path / "paused.json"))
    here, there = PlayedLane(room, slots=2, name="gpu").slots
    here.name, there.name, there.is_remote = "here", "there", True
    if paused:
        there.paused_until = time.monotonic() + 1000.0
    scheduler.slots["gpu"] = [here, there]
    ready.add(room.accept())
    asking = (here,) if paused else (here, there)
    takes = tuple(slot.name for slot in asking if scheduler.next_ticket("gpu", slot, time.monotonic()) is not None)
    assert takes == goes


@pytest.mark.parametrize(("gpus", "stage"), [(1, "encode"), (2, "face")])
def test_pictures_are_measured_ahead_for_each_gpu(room: QueueRoom, tmp_path: Path, gpus: int, stage: str) -> None:
    # Given as many jobs ahead as one GPU needs
    scheduler = Scheduler(room.settings, room.ready_queue, Pauses(tmp_path / "paused.json"))
    scheduler.slots["gpu"] = PlayedLane(room, slots=gpus, name="gpu").slots
    scheduler.slots["cpu"] = PlayedLane(room, slots=2, name="cpu").slots
    for number in range(4):
        room.accept(f"ahead-{number}", stage="tts")
    for one in ("face", "encode"):
        room.accept(one, stage=one)
    # Then a cpu slot encodes a video, but goes on measuring where there is a second GPU
    ticket = scheduler.next_ticket("cpu", scheduler.slots["cpu"][0], time.monotonic())
    assert ticket is not None
    assert ticket.stage == stage
