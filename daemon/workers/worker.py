"""The daemon's side of a conversation with a worker (docs/worker.md), wherever that runs: requests, answers and limits.

Two kinds exist: a child process (`process.py`), and one on another machine (`remote/`).
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied, escape_unprintable, shorten
from daemon.system.memory import memory_mb
from daemon.wire import (
    AllowTime,
    CancelRequest,
    Elsewhere,
    ErrorReport,
    Heartbeat,
    LogMessage,
    Message,
    ModelChange,
    Notice,
    Preloaded,
    PreloadRequest,
    Progress,
    Ready,
    Request,
    Result,
    RunRequest,
    TimeLeft,
    read_message,
)

log = structlog.get_logger()

#: Interval of checks of a running worker's time, silence and memory, in s.
LOOK_S = 0.5
#: How long a worker that gets no further job may take to end by itself, in s.
OUTDATED_S = 5.0
LAST_LINES = 40
START_S = 120.0  # a cold disk under load
#: Time limit for loading one stage ahead of its first job, in s.
PRELOAD_S = 120.0


class ElsewhereError(Exception):
    """The worker did not run a stage, since its engine belongs to another lane."""

    def __init__(self, engine: str) -> None:
        super().__init__(engine)
        self.engine = engine


class Worker(abc.ABC):
    """One worker. `run` does one stage of one job; the worker is kept for the next job.

    Args:
        lane: its lane's name.
        on_notice: receives the messages that its owner passes on.

    Attributes:
        last_heard: time of its last message, monotonic, in s.
        last_stage: stage it ran last, whose model may be loaded.
    """

    #: Whether it may take long to start, or fail to for reasons that concern no job: it is then started before it is given one.
    starts_first = False

    def __init__(self, lane: str, settings: Settings, on_notice: Callable[[Notice], None]) -> None:
        self.lane = lane
        self._settings = settings
        self._on_notice = on_notice
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._tail: deque[str] = deque(maxlen=LAST_LINES)
        self._memory_checked_at = 0.0
        self._default_memory_limit_mb = memory_mb() / 2
        self._outdated = False
        self._can_preload = self._can_cancel = False
        self._stops = 0  # how often others have told it to end
        self._running = ""
        self._cancelled_at: float | None = None
        self.last_heard = time.monotonic()
        self.last_stage: str | None = None

    @property
    @abc.abstractmethod
    def pid(self) -> int | None:
        """A number that no other start of it has; None if it does not run."""

    @property
    @abc.abstractmethod
    def alive(self) -> bool:
        """Whether it runs."""

    async def start(self) -> None:
        """Start it and wait for its message `ready`.

        Raises:
            MachineError: it does not start.
            WorkerDied: it was told to end meanwhile.
        """
        await self._start(self._stops)

    async def stop(self, grace_s: float = 5.0) -> None:
        """End it, also while it starts; its stage may go on for `grace_s` seconds."""
        self._stops += 1
        await self._end(grace_s)

    @abc.abstractmethod
    async def _launch(self) -> None:
        """Begin to start it.

        Raises:
            MachineError: it does not start.
        """

    @abc.abstractmethod
    async def _end(self, grace_s: float) -> None:
        """End what was launched, if anything was; see `stop`."""

    @abc.abstractmethod
    async def _send(self, request: Request) -> None:
        """Send a request.

        Raises:
            WorkerDied: it does not run.
        """

    @abc.abstractmethod
    async def _collect_death(self) -> WorkerDied:
        """Return why the messages ended."""

    @abc.abstractmethod
    def _does_not_start(self, why: str) -> MachineError:
        """Return the error of a worker that does not start."""

    @abc.abstractmethod
    def memory_mb(self) -> float:
        """Return the memory that it holds on this machine."""

    async def _start(self, stops: int) -> None:
        """Start it; see `start`. `stops`: how often it had been told to end when its start was decided."""
        if self._stops == stops:
            await self._launch()
        if self._stops == stops and await self._becomes_ready():
            return
        was_ended = self._stops != stops
        await self._end(0)
        if was_ended:
            raise WorkerDied("The worker was ended before it began with this job.", "worker-crashed", list(self._tail))
        # That it does not start is a fault of the installation, not of the job.
        raise self._does_not_start(self._tail[-1] if self._tail else "it printed nothing")

    async def _becomes_ready(self) -> bool:
        """Wait for the first message; returns False where it ends before, or sends none in time."""
        with contextlib.suppress(TimeoutError):
            message = await asyncio.wait_for(self._messages.get(), START_S)
            if message is not None:
                ops = message.ops if isinstance(message, Ready) else ()
                self._can_preload, self._can_cancel = "preload" in ops, "cancel" in ops
                return True
        return False

    def _hear(self, line: bytes) -> None:
        """Take in a line of it.

        Raises:
            ValueError: the line is no message.
        """
        self.last_heard = time.monotonic()
        message = read_message(line)
        match message:
            case None | Heartbeat():
                pass
            case LogMessage():  # handled here, since it may come before `ready` and between two jobs
                self._write_log(message)
            case _:
                self._messages.put_nowait(message)

    def _write_log(self, message: LogMessage) -> None:
        """Log a message of a stage, with its job."""
        text = escape_unprintable(shorten(message.text))
        self._tail.extend(line[:500] for line in text.splitlines())
        about = {name: value for name, value in (("job_id", message.job), ("stage", message.stage)) if value}
        getattr(log, message.level)("worker log", lane=self.lane, text=text, **about)

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        """Run one stage of a job; returns its result.

        Args:
            timeout_s: time limit; the stage may extend it.
            on_progress: receives the finished part, 0 to 1.

        Raises:
            AvatarError: the error that the stage reported.
            ElsewhereError: the stage must run in another lane.
            WorkerDied: the process ended, hung, or took too much memory, and is gone.
        """
        stops = self._stops
        limit_s = timeout_s + await self._travel_s(request)
        await self._start_if_needed(stops)
        self.last_stage = request.stage
        self.last_heard = time.monotonic()
        self._running, self._cancelled_at = request.job, None
        try:
            await self._send(request)
            return await self._await_result(request, limit_s, on_progress)
        finally:
            self._running, self._cancelled_at = "", None

    async def _travel_s(self, request: RunRequest) -> float:
        """Return how long the files of a job may take on their way to it, s."""
        return 0.0

    async def _await_result(
        self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]
    ) -> Result:
        began = time.monotonic()
        deadline = began + timeout_s
        while True:
            message = await self._next_message(began, deadline)
            match message:
                case Progress():
                    on_progress(message.value)
                case TimeLeft():  # measured by the stage, so better than the estimate; a hanging stage cannot send it
                    needs = 2 * message.value + self._settings.lanes.timeout.base_s
                    deadline = max(deadline, time.monotonic() + needs)
                    self._on_notice(message)
                case AllowTime():  # the stage asks for more time for what it begins now
                    deadline = max(deadline, time.monotonic() + message.value)
                case Result():
                    if message.last:
                        self.restart_before_next_job()
                    return message
                case Elsewhere():
                    raise ElsewhereError(message.engine)
                case ErrorReport():
                    if message.last:  # the worker ends now, and must not get the next job
                        await self._end(OUTDATED_S)
                    error = message.to_exception()
                    if error.traceback:
                        log.error(
                            "stage failed unexpectedly",
                            job_id=request.job,
                            stage=self.last_stage,
                            lane=self.lane,
                            code=error.code,
                            exception=error.traceback,
                        )
                    raise error
                case ModelChange():
                    self._tell_of_model(message)

    def take_results(self, directory: Path) -> Callable[[], None] | None:
        """Return what puts the files that the last run has made into the job's folder, beside the next run; None where they are
        there. It may be called again after an OSError.
        """
        return None

    async def cancel(self, job: str) -> None:
        """Ask the worker to end the stage of a job and to keep its models; `run` kills it after `lanes.cancel_s`.

        A worker that does not run the stage yet, or cannot be asked, is killed at once. Further calls change nothing.
        """
        if not self._can_cancel or self._running != job or not self.alive or not self._settings.lanes.cancel_s:
            await self.stop(0)
        elif self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            await self._send(CancelRequest(job=job))

    async def preload(self, stage: str) -> float:
        """Have the worker load what a stage needs, and start it if it does not run. Does nothing if it cannot preload.

        Returns:
            The seconds that took.

        Raises:
            AvatarError: why it could not be loaded.
            WorkerDied: the process ended, hung, or took too much memory, and is gone.
        """
        await self._start_if_needed(self._stops)
        if not self._can_preload:
            return 0.0
        self.last_heard = began = time.monotonic()
        await self._send(PreloadRequest(stage=stage))
        while not isinstance(message := await self._next_message(began, began + PRELOAD_S), Preloaded):
            if isinstance(message, ModelChange):
                self._tell_of_model(message)
        if message.code:
            raise message.to_exception()
        return message.seconds

    async def _start_if_needed(self, stops: int) -> None:
        if self._outdated and self.alive:
            await self._end(OUTDATED_S)
        if not self.alive or self._stops != stops:
            await self._start(stops)

    def restart_before_next_job(self) -> None:
        """Use a new process for the next job: the settings have changed, or this one has lost what it computes with."""
        self._outdated = True

    async def _next_message(self, began: float, deadline: float) -> Message:
        """Return the next message. Time, silence and memory are checked meanwhile, also while messages keep coming."""
        while True:
            await self._check_limits(began, deadline)
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(self._messages.get(), LOOK_S)
                if message is None:
                    raise await self._collect_death()
                return message

    async def _check_limits(self, began: float, deadline: float) -> None:
        now = time.monotonic()
        if self._cancelled_at is not None and now - self._cancelled_at > self._settings.lanes.cancel_s:
            raise await self._end_worker(
                "The stage of a cancelled job did not end when it was asked to.", "worker-hung"
            )
        if now > deadline:
            raise await self._end_worker(
                f"The stage exceeded its time limit of {deadline - began:.0f} s.", "stage-timeout"
            )
        if now - self.last_heard > self._settings.lanes.silence_s:
            raise await self._end_worker(
                f"The worker sent no message for {now - self.last_heard:.0f} s.", "worker-hung"
            )
        if now - self._memory_checked_at < LOOK_S:
            return
        self._memory_checked_at = now
        limit = self._settings.lanes.memory_mb or self._default_memory_limit_mb
        if (used := self.memory_mb()) > limit:
            raise await self._end_worker(
                f"The worker used {used:.0f} MB of memory; at most {limit:.0f} MB are allowed.", "worker-memory"
            )

    def _tell_of_model(self, change: ModelChange) -> None:
        self._on_notice(change.model_copy(update={"lane": self.lane, "pid": self.pid}))

    async def _end_worker(self, reason: str, code: str) -> WorkerDied:
        await self._end(0)
        return WorkerDied(reason, code, list(self._tail))
