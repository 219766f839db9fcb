"""A worker on a machine of the cluster, as its slot sees it. The daemon alone puts its results into the job's folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied, WorkerLost
from daemon.system import fs
from daemon.system.disk_thread import in_thread
from daemon.wire import InitRequest, Notice, Request, Result, RunRequest
from daemon.workers.devices import Device
from daemon.workers.remote.frames import HostEnded, HostLine, Results, RunStage, StartHost, StopHost, Tell
from daemon.workers.remote.job_files import install_results, list_files
from daemon.workers.remote.pool import LOST, RayPool
from daemon.workers.remote.portable import SPEAKING
from daemon.workers.worker import Worker

MB = 1e6  # bytes


class RemoteWorker(Worker):
    """A worker that an actor of the cluster has as its child process.

    Args:
        pool: the way to the cluster.
        slot: name of its slot, unique among the workers of the pool.
    """

    starts_first = True

    def __init__(
        self, lane: str, settings: Settings, on_notice: Callable[[Notice], None], *, pool: RayPool, slot: str
    ) -> None:
        super().__init__(lane, settings, on_notice)
        self.slot = slot
        self._pool = pool
        #: Epochs of its own start and of the stage's; 0: it does not run.
        self._host = self._epoch = 0
        self._ended: HostEnded | None = None
        self._results: Results | None = None
        pool.add(self)

    @property
    def pid(self) -> int | None:
        """The epoch of its start; None if it does not run."""
        return self._host or None

    @property
    def alive(self) -> bool:
        """Whether it was started, and has not ended as far as is known."""
        return self._host != 0

    async def _launch(self) -> None:
        self._pool.check()
        self._messages = asyncio.Queue()
        self._tail.clear()
        self._outdated, self._ended, self._results = False, None, None
        self._host = self._epoch = self._pool.next_epoch()
        self.last_heard = time.monotonic()
        init = InitRequest(settings=self._settings).to_line().decode()
        start = StartHost(slot=self.slot, host=self._host, lane=self.lane, gpu=self.lane == "gpu", init=init)
        if not await self._pool.send(start):
            self.lose(LOST, "The way to the Ray cluster was lost.")

    def _does_not_start(self, why: str) -> MachineError:
        ended = self._ended
        if ended is None:
            return MachineError(
                "node-broken", f"The worker of {self.slot} does not start on the cluster: {why}.", _LOOK_AT_NODES
            )
        return MachineError(ended.code, f"The worker of {self.slot} does not start: {ended.reason}", _LOOK_AT_NODES)

    async def _send(self, request: Request) -> None:
        line = request.to_line().decode()
        if isinstance(request, RunRequest):
            self._epoch = self._pool.next_epoch()
            profiles, voices = self._voices_for(request)
            sent = await self._pool.send(
                RunStage(
                    slot=self.slot, host=self._host, epoch=self._epoch, dir=request.dir, line=line,
                    profiles=profiles, voices=voices,
                )
            )  # fmt: skip
        else:
            sent = await self._pool.send(Tell(slot=self.slot, host=self._host, line=line))
        if not sent or not self.alive:
            raise WorkerLost("The way to the Ray cluster was lost.", LOST, with_machine=False)

    def _voices_for(self, request: RunRequest) -> tuple[Path | None, list[str]]:
        """Return the folder of voice profiles, and the voices that the stage may speak with."""
        if request.stage not in SPEAKING:
            return None, []
        named = str(request.manifest.get("voice") or ""), self._settings.stages.tts.voice
        return self._settings.paths.profiles, list(named)

    def take(self, frame: HostLine | Results | HostEnded) -> bool:
        """Take in a message of the cluster. Returns False for a result of a worker, or of a start, that was given up."""
        if frame.host != self._host:
            return not isinstance(frame, Results)
        if isinstance(frame, HostEnded):
            self._note_end(frame)
            return True
        if isinstance(frame, Results):
            if frame.epoch != self._epoch or not self._running or frame.folder is None:
                return False
            self._results = frame
        try:
            self._hear(frame.line.encode())
        except ValueError as exc:
            self._note_end(_ended(frame, "node-broken", f"The worker sent an invalid message: {exc}.", lost=True))
        return True

    def lose(self, code: str, reason: str) -> None:
        """Note that the way to the worker is gone."""
        if self._host:
            self._note_end(HostEnded(slot=self.slot, host=self._host, lost=True, code=code, reason=reason))

    def _note_end(self, frame: HostEnded) -> None:
        self._host, self._ended = 0, frame
        self._tail.extend(frame.tail)
        self._messages.put_nowait(None)

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        """Run one stage of a job there; see `Worker.run`. What it has made lies beside the job's folder until `take_results`.

        Raises:
            WorkerLost: its machine, or the way to it, was lost, or no files came back.
        """
        if (unused := self._results) is not None and unused.folder is not None:  # of a job that was cancelled
            await in_thread(fs.remove, unused.folder)
        self._results = None
        result = await super().run(request, timeout_s, on_progress)
        self._epoch = 0
        if self._results is None:
            await self._end(0)
            raise WorkerLost("A worker reported a result without files.", "node-broken", with_machine=True)
        return result

    async def _travel_s(self, request: RunRequest) -> float:
        """Return as long as delivering the files may take."""
        files = await in_thread(list_files, request.dir)
        return self._settings.lanes.timeout.per_mb_s * sum(file.size for file in files.values()) / MB

    def take_results(self, directory: Path) -> Callable[[], None]:
        """Return what puts the files of the last run into the job's folder; see `Worker.take_results`."""
        results, self._results = self._results, None
        assert results is not None
        assert results.folder is not None
        self._pool.keep(results.folder)
        return partial(self._install, results.folder, results.removed, directory)

    def _install(self, made: Path, removed: Sequence[str], directory: Path) -> None:
        fault: ValueError | None = None
        try:
            install_results(made, removed, directory)
        except ValueError as exc:
            self.restart_before_next_job()
            fault = exc
        fs.remove(made)
        self._pool.let_go(made)
        if fault is not None:
            words = f"The results of {self.slot} are refused: {fault}."
            raise WorkerLost(words, "node-broken", with_machine=True) from fault

    def memory_mb(self) -> float:
        """None on this machine; the actor looks after it there."""
        return 0.0

    async def _collect_death(self) -> WorkerDied:
        ended = self._ended
        await self._end(0)
        if ended is None:
            return WorkerDied("The worker was ended while it worked on this job.", "worker-crashed", list(self._tail))
        if ended.lost:
            return WorkerLost(ended.reason, ended.code, with_machine=ended.code == "node-lost")
        return WorkerDied(ended.reason, ended.code, list(self._tail))

    async def _end(self, grace_s: float) -> None:
        """End it at once; what it still sends is refused."""
        host, self._host, self._epoch = self._host, 0, 0
        if host:
            self._messages.put_nowait(None)
            await self._pool.send(StopHost(slot=self.slot, host=host))


_LOOK_AT_NODES = "Run `ray status`, and look at the log of that machine; other slots go on."


def _ended(frame: HostLine | Results, code: str, reason: str, *, lost: bool) -> HostEnded:
    return HostEnded(slot=frame.slot, host=frame.host, lost=lost, code=code, reason=reason)


class RemoteWatch:
    """Looks whether the cluster of a slot is there."""

    def __init__(self, device: Device, pool: RayPool) -> None:
        self.device, self._pool = device, pool

    async def look(self) -> int | None:
        """Return None: the memory of its GPU is not known here.

        Raises:
            MachineError: the cluster cannot be used.
        """
        await self._pool.look()
        return None
