"""A worker on a machine of the cluster, as its slot sees it. The daemon alone puts its results into the job's folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied, WorkerLost
from daemon.system import fs
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

    async def start(self) -> None:
        """Start it and wait for its message `ready`.

        Raises:
            MachineError: the cluster cannot be used, or has no room.
        """
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
        await self._wait_until_ready()

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
            self._end(frame)
            return True
        if isinstance(frame, Results):
            if frame.epoch != self._epoch or not self._running or frame.folder is None:
                return False
            self._results = frame
        try:
            self._hear(frame.line.encode())
        except ValueError as exc:
            self._end(_ended(frame, "node-broken", f"The worker sent an invalid message: {exc}.", lost=True))
        return True

    def lose(self, code: str, reason: str) -> None:
        """Note that the way to the worker is gone."""
        if self._host:
            self._end(HostEnded(slot=self.slot, host=self._host, lost=True, code=code, reason=reason))

    def _end(self, frame: HostEnded) -> None:
        self._host, self._ended = 0, frame
        self._tail.extend(frame.tail)
        self._messages.put_nowait(None)

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        """Run one stage of a job there, and put what it has made into the job's folder; see `Worker.run`. The files may take as
        long on their way as delivering them.

        Raises:
            WorkerLost: its machine, or the way to it, was lost, or what came back is not right.
        """
        files = await asyncio.to_thread(list_files, request.dir)
        way_s = self._settings.lanes.timeout.per_mb_s * sum(file.size for file in files.values()) / MB
        result = await super().run(request, timeout_s + way_s, on_progress)
        results, self._results, self._epoch = self._results, None, 0
        if results is None or results.folder is None:
            await self.stop(0)
            raise WorkerLost("A worker reported a result without files.", "node-broken", with_machine=True)
        try:
            await asyncio.to_thread(install_results, results.folder, results.removed, request.dir)
        except ValueError as exc:
            await self.stop(0)
            raise WorkerLost(
                f"The results of {self.slot} are refused: {exc}.", "node-broken", with_machine=True
            ) from exc
        finally:
            await asyncio.to_thread(fs.remove, results.folder)
        return result

    def memory_mb(self) -> float:
        """None on this machine; the actor looks after it there."""
        return 0.0

    async def _collect_death(self) -> WorkerDied:
        ended = self._ended
        await self.stop(0)
        if ended is None:
            return WorkerDied("The worker was ended while it worked on this job.", "worker-crashed", list(self._tail))
        if ended.lost:
            return WorkerLost(ended.reason, ended.code, with_machine=ended.code == "node-lost")
        return WorkerDied(ended.reason, ended.code, list(self._tail))

    async def stop(self, grace_s: float = 5.0) -> None:
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
