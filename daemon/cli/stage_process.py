"""Runs stages for a command in a child process, as the daemon would, without the daemon."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from daemon.config.settings import Log, Settings
from daemon.errors import UnknownError, WorkerDied
from daemon.jobs.stages import LaneName
from daemon.telemetry import logs
from daemon.wire import Result, RunRequest
from daemon.workers.process import WorkerProcess

#: Longest wait for one stage; a cold model and a slow machine included. s
LIMIT_S = 3600.0


class StageProcess:
    """A child process inside a `with` block; it runs one stage after the other."""

    def __init__(self, settings: Settings, lane: LaneName) -> None:
        logs.configure_logging(Log(level="error"))  # what the child logs is for the daemon's journal
        self._child = WorkerProcess(lane, settings, lambda _: None)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._child.stop())
        finally:
            self._runner.close()

    def run(self, request: RunRequest) -> Result:
        """Run one stage.

        Raises:
            AvatarError: what the stage raises; the code of what ended the process.
        """
        try:
            return self._runner.run(self._child.run(request, LIMIT_S, lambda _: None))
        except WorkerDied as exc:
            last = f" Its last words: {exc.tail[-1]}" if exc.tail else ""
            raise UnknownError(
                exc.code, f"{exc.reason}{last}", "Try it again; `avatar doctor` looks at the rest."
            ) from exc
