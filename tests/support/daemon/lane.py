"""A real lane whose workers are played by the tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

from daemon.config import Settings
from daemon.errors import MachineError, ResultError, WorkerDied
from daemon.jobs.stages import LaneName, Stage
from daemon.queue.ready_queue import Ticket
from daemon.wire import Notice, Result, RunRequest
from daemon.workers.lane import Lane
from daemon.workers.process import WorkerProcess
from daemon.workers.routes import Routes
from daemon.workers.slot import Slot
from tests.support.daemon.queue import QueueRoom

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
        """True while the process would be there."""
        return self._up

    async def preload(self, stage: str) -> float:
        """Load at once, or wait for the next event of `loads` and then die."""
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
        """Give the next of `answers`; `DONE` when there is none left."""
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
        """Let the run end that waits."""
        self._ended.set()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Note the grace in s, and end the run that waits."""
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
        self.runs.append(slot.models.run)
        return next((head for stage in STAGES if (head := self.state_machine.ready_queue.head(stage, now))), None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the lane within the block; it is drained at its end."""
        self.start()
        try:
            yield
        finally:
            await self.drain(0)


async def turns() -> None:
    """Let every task that can go on do so, until all wait for something."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, in the loop that brings it about."""
    while not is_so():
        await asyncio.sleep(0)
