"""A lane gives jobs to its workers and does what their answers ask for. The workers are played by the tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from daemon.config import Settings
from daemon.control.operations import Operations
from daemon.errors import JobError, MachineError, ResultError, WorkerDied
from daemon.intake.admission import Admission
from daemon.jobs.facts import JobFacts, SourceFile
from daemon.jobs.stages import LaneName, Stage
from daemon.queue.pauses import Pauses
from daemon.queue.ready_queue import Ticket
from daemon.system.disk_thread import DiskThread
from daemon.system.file_key import file_key
from daemon.wire import ModelLoaded, Notice, Result, RunRequest, TimeLeft
from daemon.workers.lane import Lane
from daemon.workers.process import WorkerProcess
from daemon.workers.routes import Routes
from daemon.workers.slot import Slot
from tests.support.queue_room import QueueRoom

STAGES: tuple[Stage, ...] = ("tts", "deliver")
DONE = Result(facts={}, warnings=[])
#: A worker that works until it is ended.
ENDLESS = "endless"
#: A worker that is done when the test lets it, unless it is ended before.
SLOW = "slow"
FULL = MachineError("disk-full", "No space left on device.")
NOISE = ResultError("speech-invalid", "That is noise.")
DEATH = WorkerDied("The worker process was ended by SIGSEGV.", "worker-crashed", ["last words"])

Answer = Result | Exception | str


class PlayedWorker(WorkerProcess):
    """Gives the answers it was told to, one a request, and takes requests down."""

    def __init__(
        self, lane: str, settings: Settings, on_notice: Callable[[Notice], None], answers: list[Answer]
    ) -> None:
        super().__init__(lane, settings, on_notice)
        self.say = on_notice
        self.answers = answers
        self.requests: list[RunRequest] = []
        self.stops: list[float] = []
        self.works = asyncio.Event()
        self.preloaded: list[str] = []
        #: What the next loadings wait for before the process dies of them.
        self.loads: list[asyncio.Event] = []
        self._up = False
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._up

    async def preload(self, stage: str) -> float:
        self._up = True
        self.preloaded.append(stage)
        self.works.set()
        answer = self.loads.pop(0) if self.loads else None
        if answer is not None:
            await answer.wait()
            self._up = False
            raise DEATH
        return 0.0

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        self.requests.append(request)
        self.last_stage = request.stage
        self._up = True
        self._ended.clear()
        self.works.set()
        answer = self.answers.pop(0) if self.answers else DONE
        if answer in (ENDLESS, SLOW):
            await self._ended.wait()
            if answer == SLOW and self._up:
                return DONE
            raise WorkerDied("The worker process was ended by SIGKILL.", "worker-crashed", [])
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Result)
        return answer

    def be_done(self) -> None:
        self._ended.set()

    async def stop(self, grace_s: float = 5.0) -> None:
        self.stops.append(grace_s)
        self._up = False
        self._ended.set()


class PlayedLane(Lane):
    """A lane of played workers that takes whatever comes first; notes the length of each run of one stage."""

    def __init__(
        self,
        room: QueueRoom,
        answers: Iterable[Answer] = (),
        slots: int = 1,
        preloads: Iterable[Stage] = (),
        name: LaneName = "voice",
    ) -> None:
        self.workers: list[PlayedWorker] = []
        self.runs: list[int] = []
        script = list(answers)

        def play(name: str, settings: Settings, on_notice: Callable[[Notice], None]) -> PlayedWorker:
            self.workers.append(PlayedWorker(name, settings, on_notice, script))
            return self.workers[-1]

        super().__init__(
            name,
            slots,
            room.state_machine,
            self._first,
            Routes(room.state_machine.settings),
            play,
            lambda: list(preloads),
        )

    def _first(self, slot: Slot, now: float) -> Ticket | None:
        self.runs.append(slot.run_length)
        return next((head for stage in STAGES if (head := self.state_machine.ready_queue.head(stage, now))), None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.start()
        try:
            yield
        finally:
            await self.drain(0)


async def turns() -> None:
    """Let every task that can go on do so, until all wait for something."""
    for _ in range(50):
        await asyncio.sleep(0)


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


def test_a_machine_fault_pauses_the_lane_charges_nobody_and_the_lane_goes_on(room: QueueRoom) -> None:
    lane = PlayedLane(room, [FULL, FULL, DONE])
    job = room.accept()

    async def live() -> None:
        async with lane.running():
            await room.diary.until("voice paused: disk-full")
            assert lane.pause is not None
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
    room.settings.paths.inbox.mkdir()
    (room.settings.paths.inbox / "a.wav").write_bytes(b"a")
    with (room.settings.paths.inbox / "a.wav").open("rb") as file:
        source = SourceFile("a.wav", list(file_key(file.fileno())), 3.0)
    room.accept(stage="deliver", facts=JobFacts(sources={"source.audio": source}))
    looking, answer = threading.Event(), threading.Event()

    def is_open(path: str) -> bool:
        looking.set()
        return not answer.wait(60)

    room.use_sources(is_open)
    lane = PlayedLane(room, slots=2, name="cpu")

    async def live() -> None:
        lane._begin_pause(FULL)
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
        lane._begin_pause(FULL)
        assert lane.pause is not None
        delays.append(lane.pause.delay_s)
    assert delays == [2000.0, 4000.0, 8000.0, 10_000.0, 10_000.0, 10_000.0]


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
    room.settings.paths.inbox.mkdir()
    (room.settings.paths.inbox / "a.wav").write_bytes(b"a")
    with (room.settings.paths.inbox / "a.wav").open("rb") as file:
        source = SourceFile("a.wav", list(file_key(file.fileno())), 3.0)
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
    operations = Operations(machine, admission, [lane], pauses, machine.events, disk)

    async def live() -> None:
        async with lane.running():
            await asyncio.to_thread(looking.wait, 60)
            # When it is cancelled meanwhile
            cancel = asyncio.create_task(operations.run_request({"op": "cancel", "job": job.id}))
            await turns()
            answer.set()
            # Then it is, although its file is still being written
            assert await cancel == f"{job.id} is cancelled."

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


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, in the loop that brings it about."""
    while not is_so():
        await asyncio.sleep(0)


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


def test_what_a_worker_says_beside_its_results_is_told(room: QueueRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(room.diary, "model_loaded", lambda *args: told.append(args), raising=False)
    monkeypatch.setattr(room.diary, "stage_left", lambda *args: told.append(args), raising=False)
    worker = PlayedLane(room).workers[0]
    worker.say(ModelLoaded(stage="tts", model="kokoro", seconds=2))
    worker.say(TimeLeft(job="job-1", value=9))
    assert told == [("tts", "kokoro", 2.0), ("job-1", 9.0)]
