"""Runs a stage worker as a child process, and exchanges JSON lines with it (docs/worker.md).

A stage that crashes, hangs or uses too much memory costs the worker, not the daemon. The worker leads its own process group,
so that killing it also kills programs that it started, such as ffmpeg.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

import structlog

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied
from daemon.system.memory import process_memory_mb
from daemon.wire import InitRequest, Notice, Request
from daemon.workers.worker import Worker

log = structlog.get_logger()

#: Longest line accepted from a worker, in bytes; valid messages are much shorter.
LINE_LIMIT = 4 * 2**20
#: How long a killed process, and then its pipes, are waited for, in s.
KILLED_S, PIPES_S = 5.0, 1.0
#: The variable of CUDA that limits the GPUs which a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"


class WorkerProcess(Worker):
    """A worker that is a child process of the daemon.

    Args:
        cuda_devices: the GPUs that the process may see, as in CUDA_VISIBLE_DEVICES; None: those that the daemon may.
    """

    def __init__(
        self,
        lane: str,
        settings: Settings,
        on_notice: Callable[[Notice], None],
        cuda_devices: str | None = None,
    ) -> None:
        super().__init__(lane, settings, on_notice)
        self._cuda_devices = cuda_devices
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """Process id; None if the process does not run."""
        return self._process.pid if self.alive and self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def _launch(self) -> None:
        self._messages = asyncio.Queue()
        self._tail.clear()
        self._outdated = False
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "stages.worker",
                "--lane",
                self.lane,
                "--parent",
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LINE_LIMIT,
                start_new_session=True,
                cwd="/",
                env=None if self._cuda_devices is None else {**os.environ, VISIBLE: self._cuda_devices},
            )
        except OSError as exc:  # no permission, or no processes, files or memory left: not a fault of the job
            raise self._does_not_start(f"{sys.executable}: {exc.strerror}") from exc
        self._tasks = [asyncio.create_task(self._read_messages()), asyncio.create_task(self._read_log())]
        self.last_heard = time.monotonic()
        await self._send(InitRequest(settings=self._settings))

    def _does_not_start(self, why: str) -> MachineError:
        return MachineError(
            "worker-broken", f"The {self.lane} worker does not start: {why}.", "Run `avatar doctor`, and see the log."
        )

    async def _send(self, request: Request) -> None:
        if self._process is None or self._process.stdin is None:
            raise WorkerDied("The worker is not running.", "worker-crashed", [])
        with contextlib.suppress(ConnectionError):  # the reader of messages notices that it ended
            self._process.stdin.write(request.to_line())
            await self._process.stdin.drain()

    async def _read_messages(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._hear(line)
        except (ValueError, ConnectionError) as exc:
            # After a line that is too long or invalid, the stream is not read further.
            log.error("invalid message from worker", lane=self.lane, error=str(exc))
        finally:
            self._messages.put_nowait(None)

    async def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            for line in chunk.decode("utf-8", "replace").splitlines():
                self._tail.append(line[:500])
                log.debug("worker", lane=self.lane, line=line[:500])

    def memory_mb(self) -> float:
        """Return the memory that the process and its children hold: see `process_memory_mb`."""
        return 0.0 if self.pid is None else process_memory_mb(self.pid)

    async def _collect_death(self) -> WorkerDied:
        process = self._process
        await self._end(0.5)  # it may have closed its pipe without ending
        code = (process.returncode or 0) if process else 0
        what = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return WorkerDied(f"The worker process {what} while it worked on this job.", "worker-crashed", list(self._tail))

    async def _end(self, grace_s: float) -> None:
        """End the process: close its input, and after `grace_s` seconds kill it and its children."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if grace_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            await asyncio.wait_for(process.wait(), KILLED_S)
        except TimeoutError:
            # The kernel ends it when the call that it waits in returns; it does nothing of its own before.
            log.error("killed worker does not end", lane=self.lane, pid=process.pid, waits_for="a disk or a GPU")
        # Children may keep the pipes open; the readers get a moment for the last lines.
        _, late = await asyncio.wait(self._tasks, timeout=PIPES_S) if self._tasks else (set(), set())
        for task in late:
            task.cancel()
        if self._process is process:  # otherwise a new process was started meanwhile
            self._process = None
