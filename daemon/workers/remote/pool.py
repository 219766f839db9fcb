"""The daemon's side of a Ray cluster: keeps the driver's process running, and passes messages between it and the slots' workers.

The daemon itself never imports Ray, whose client takes 80 MB: `python -m daemon.workers.remote.driver` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.events import Events
from daemon.system import fs
from daemon.system.disk_thread import in_thread
from daemon.system.permissions import make_folder
from daemon.workers.remote.frames import (
    LINE_LIMIT,
    Connect,
    Connected,
    Failed,
    FromDaemon,
    HostEnded,
    HostLine,
    Results,
    read_from_driver,
)

log = structlog.get_logger()

#: Name of the folder in the spool in which the driver puts results until they are accepted.
RESULTS = ".ray.tmp"
#: The pauses between two tries to reach the cluster, in s: the first one, and the longest.
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0
#: How long a slot waits for the first try, in s.
FIRST_TRY_S = 10.0
#: A machine that has not answered for so long is given up, in s; sooner where a worker may not be silent for four times that.
REACH_S = 15.0
LAST_LINES = 10

#: The code of a cluster that is not reached.
UNREACHABLE = "ray-unreachable"
#: That of work there when it is lost.
LOST = "ray-lost"
#: Codes of errors that keep the whole cluster from being used; slots that pause for one go on when the cluster is there.
CLUSTER_CODES = (UNREACHABLE, LOST, "ray-open", "ray-token", "ray-missing")


class PoolWorker(Protocol):
    """A worker of a slot, as the pool sees it."""

    slot: str

    def take(self, frame: HostLine | Results | HostEnded) -> bool:
        """Take in a message; returns False for a result of a worker, or of a start, that was given up."""

    def lose(self, code: str, reason: str) -> None:
        """Note that the way to the worker is gone."""


class RayPool:
    """The cluster, and the workers on it.

    Args:
        on_change: called when the cluster is there, with None, and when it is not, with the error.

    Attributes:
        nodes: machines of the cluster that answer; 0 while it is not connected.
        refused: results that came from workers, or for starts, that had been given up.
    """

    def __init__(self, settings: Settings, events: Events, on_change: Callable[[MachineError | None], None]) -> None:
        self._settings, self._events, self._on_change = settings, events, on_change
        self.folder = settings.paths.spool / RESULTS
        self.nodes = 0
        self.refused = 0
        self._error: MachineError | None = self._unreachable("it is being connected")
        self._workers: dict[str, PoolWorker] = {}
        #: Folders of results that are being put into their jobs' folders.
        self._kept: set[Path] = set()
        self._epochs = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=LAST_LINES)
        self._tried = asyncio.Event()
        self._closing = False

    def _unreachable(self, why: str) -> MachineError:
        return MachineError(
            UNREACHABLE,
            f"The Ray cluster at {self._settings.lanes.ray.address} cannot be used: {why}.",
            "Run `ray status` on this machine. Work goes on here, and there when the cluster answers again.",
        )

    def add(self, worker: PoolWorker) -> None:
        """Let a worker take in the messages of its slot."""
        self._workers[worker.slot] = worker

    def next_epoch(self) -> int:
        """Return a number that was never given before."""
        return next(self._epochs)

    def keep(self, results: Path) -> None:
        """Keep the folder of results that are accepted, also when the driver starts anew. Safe to call from any thread."""
        self._kept.add(results)

    def let_go(self, results: Path) -> None:
        """Keep the folder of results no longer. Safe to call from any thread."""
        self._kept.discard(results)

    def clear(self) -> None:
        """Remove what an earlier driver left."""
        for path in set(self.folder.iterdir()) - self._kept:
            fs.remove(path)

    async def look(self) -> None:
        """Raise why the cluster cannot be used; waits a moment for the end of the first try.

        Raises:
            MachineError: see `check`.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_TRY_S)
        self.check()

    def check(self) -> None:
        """Raise why the cluster cannot be used.

        Raises:
            MachineError: `ray-unreachable`, `ray-open`, `ray-token`, `ray-missing`.
        """
        if self._error is not None:
            raise self._error

    async def send(self, frame: FromDaemon) -> bool:
        """Send a message to the driver; returns False if there is none."""
        process = self._process
        if process is None or process.stdin is None:
            return False
        with contextlib.suppress(ConnectionError):  # the reader notices that it ended
            process.stdin.write(frame.to_line())
            await process.stdin.drain()
            return True
        return False

    def start(self) -> None:
        """Begin to keep the cluster connected."""
        self._task = asyncio.create_task(self._keep_connected(), name="ray")

    async def close(self) -> None:
        """End the driver, and with it all workers."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end_driver()
        await in_thread(fs.remove, self.folder)

    async def _keep_connected(self) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            was_connected = False
            try:
                was_connected = await self._run_driver()
            except Exception as exc:  # a bug of the daemon's own must not end the way to the cluster
                log.exception("ray driver failed")
                self._lose(self._unreachable(f"{type(exc).__name__}: {exc}"))
            delay_s = FIRST_DELAY_S if was_connected else min(2 * delay_s, LONGEST_DELAY_S)
            await asyncio.sleep(delay_s)

    async def _run_driver(self) -> bool:
        """Run a driver until it ends; returns whether it was connected."""
        make_folder(self.folder)
        self.clear()
        self._tail.clear()
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon.workers.remote.driver", "--parent", str(os.getpid()),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT, start_new_session=True, cwd="/",
        )  # fmt: skip
        reading = asyncio.create_task(self._read_log(process))
        lanes = self._settings.lanes
        reach_s = min(REACH_S, lanes.silence_s / 4)
        await self.send(
            Connect(address=lanes.ray.address, allow_open=lanes.ray.allow_open, reach_s=reach_s, folder=self.folder)
        )
        failure: MachineError | None = None
        was_connected = False
        try:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                frame = read_from_driver(line)
                if isinstance(frame, Failed):
                    failure = MachineError(frame.code, frame.message, frame.hint)
                elif isinstance(frame, Connected):
                    self._note_connected(frame, is_first=not was_connected)
                    was_connected = True
                elif isinstance(frame, HostLine | Results | HostEnded):
                    await self._pass_on(frame)
        except (ValueError, ConnectionError) as exc:
            log.error("invalid message from the ray driver", error=str(exc))
        finally:
            await self._end_driver()
            await asyncio.gather(reading, return_exceptions=True)
            last = self._tail[-1] if self._tail else "its driver ended"
            self._lose(failure or self._unreachable(last if not was_connected else "the connection ended"))
        return was_connected

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(65536):
            for line in chunk.decode("utf-8", "replace").splitlines():
                self._tail.append(line[:500])
                log.debug("ray driver", line=line[:500])

    def _note_connected(self, frame: Connected, *, is_first: bool) -> None:
        if frame.nodes != self.nodes:
            log.info("ray cluster", nodes=frame.nodes, gpus=frame.gpus, cpus=frame.cpus)
        self.nodes, self._error = frame.nodes, None
        self._tried.set()
        if is_first:
            self._on_change(None)

    async def _pass_on(self, frame: HostLine | Results | HostEnded) -> None:
        worker = self._workers.get(frame.slot)
        if (worker is None or not worker.take(frame)) and isinstance(frame, Results):
            self.refused += 1
            self._events.late_result_refused(frame.slot)
            if frame.folder is not None and frame.folder.parent == self.folder:
                await in_thread(fs.remove, frame.folder)

    def _lose(self, error: MachineError) -> None:
        was_connected = self._error is None
        self._error, self.nodes = error, 0
        self._tried.set()
        if was_connected and not self._closing:
            log.warning("ray cluster lost", code=error.code, message=error.message)
        for worker in self._workers.values():
            worker.lose(LOST, error.message)
        if not self._closing:
            self._on_change(error)

    async def _end_driver(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 2.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
