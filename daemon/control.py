"""Requests to the daemon, as files in spool/control: obeyed at once, or at the next start.

A request is `NAME.json` ({"op", "job", …}), put there by rename. The answer appears as `NAME.answer`, the request goes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from daemon import fs
from daemon.errors import AvatarError, JobError
from daemon.flow import CANCELLED, Flow
from daemon.job import FINISHED, JOB_ID, Job
from daemon.lane import Lane

log = structlog.get_logger()

MAX_REQUEST_BYTES = 65_536
#: Answers nobody fetched are cleared after this long, in s.
ANSWER_S = 3600.0


class Control:
    def __init__(self, folder: Path, flow: Flow, lanes: list[Lane]) -> None:
        self._folder = folder
        self._flow = flow
        self._lanes = lanes
        self._ops: dict[str, Callable[[dict[str, Any]], Awaitable[str]]] = {
            "cancel": self._cancel,
            "retry": self._retry,
        }

    async def obey(self) -> None:
        """Do what the requests ask, oldest first."""
        now = time.time()
        for path in sorted(self._folder.iterdir(), key=_age):
            if path.suffix == ".json" and not path.name.startswith("."):
                await self._answer(path)
            elif path.suffix == ".answer" and now - path.stat().st_mtime > ANSWER_S:
                fs.remove(path)

    async def _answer(self, path: Path) -> None:
        try:
            request = _read(path)
            operation = self._ops.get(str(request.get("op")))
            if operation is None:
                raise JobError(
                    "control-unknown", f"{request.get('op')!r} is not a request.", f"Known: {', '.join(self._ops)}."
                )
            answer = {"ok": True, "message": await operation(request)}
        except AvatarError as exc:
            answer = {"ok": False, "code": exc.code, "message": exc.message, "hint": exc.hint}
        log.info("control", request=path.stem, **answer)
        fs.replace_json(path.with_suffix(".answer"), answer)
        fs.remove(path)

    async def _cancel(self, request: dict[str, Any]) -> str:
        job_id = _job_id(request)
        for lane in self._lanes:
            if await lane.cancel(job_id):
                return f"{job_id} is being cancelled."
        job, directory = self._find(job_id)
        if job.state in FINISHED:
            raise JobError("job-finished", f"{job_id} is {job.state} already.", "")
        self._flow.board.remove(job_id)
        await self._flow.finish(job, directory, "cancelled", CANCELLED)
        return f"{job_id} is cancelled."

    async def _retry(self, request: dict[str, Any]) -> str:
        job, directory = self._find(_job_id(request))
        if job.state not in ("failed", "cancelled"):
            raise JobError(
                "job-not-failed", f"{job.id} is {job.state}; only failed and cancelled jobs can be retried.", ""
            )
        if not job.stages:
            raise JobError(
                "job-not-accepted",
                f"{job.id} was refused when it was taken in.",
                "Mend its manifest and drop it again.",
            )
        job.note("retry", by=str(request.get("by", "")))
        job.error, job.finished, job.attempts, job.crashes, job.interruptions = None, None, {}, 0, 0
        job.not_before, job.stage = 0.0, job.stages[0]
        await self._flow.enqueue(job, directory)
        return f"{job.id} starts again."

    def _find(self, job_id: str) -> tuple[Job, Path]:
        directory = self._flow.spool.find(job_id)
        if directory is None:
            raise JobError("job-unknown", f"There is no job {job_id}.", "`avatar jobs list` shows those there are.")
        try:
            return self._flow.spool.load(directory), directory
        except ValueError as exc:
            raise JobError("job-unreadable", f"The record of {job_id} cannot be read: {exc}.", "") from exc


def _job_id(request: dict[str, Any]) -> str:
    job_id = str(request.get("job"))
    if not JOB_ID.fullmatch(job_id):
        raise JobError("job-unknown", f"{job_id!r} is not a job id.", "It looks like job-20260102T030405Z-0a1b2c3d.")
    return job_id


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        if path.stat().st_size <= MAX_REQUEST_BYTES and path.is_file() and not path.is_symlink():
            value = json.loads(path.read_bytes())
            if isinstance(value, dict):
                return value
    raise JobError("control-invalid", f"{path.name} is not a request.", "A request is a small JSON object with `op`.")


def _age(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def send(folder: Path, op: str, **data: Any) -> Path:
    """Put a request into `folder`; returns where its answer will appear."""
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    fs.replace_json(folder / f"{name}.json", {"op": op, **data})
    return folder / f"{name}.answer"
