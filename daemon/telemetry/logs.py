"""Configures logging (console, journald or JSON), and logs the events of jobs with `job_id` and `stage`."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog

from daemon.config.settings import Log
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.record import EventData, Job
from daemon.jobs.stages import Stage
from daemon.queue.pauses import Pause, Scope
from daemon.telemetry import journald
from daemon.wire import ModelChange


def configure_logging(settings: Log) -> None:
    """Configure structlog for this process; it logs to stderr, or to journald if stderr is connected to it."""
    level = getattr(logging, settings.level.upper())
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    native = settings.format == "auto" and not console and journald.leads_to_journal()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [_show_traceback_below, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.format_exc_info, *([] if native else [structlog.processors.JSONRenderer()])]
    )
    sink = journald.JournalSocket() if native else _StderrLines()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,  # the level may change while the daemon runs
    )
    logging.basicConfig(stream=sys.stderr, level=max(level, logging.WARNING), format="%(name)s: %(message)s")


def _show_traceback_below(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Show a traceback that is text (a worker's) below the line on a terminal, like the daemon's own tracebacks."""
    if "exception" in event:
        event["stack"] = event.pop("exception")
    return event


class _StderrLines:
    """Writes each line to stderr in one call. Errors (a full disk) are ignored, since logging must not stop the work."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = msg


class LogWriter(Subscriber):
    """Logs one line for each important event."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("jobs")

    def job_waiting(self, job: Job, missing: list[str]) -> None:
        self._log.info("waiting for files", job_id=job.id, source=job.source, by=job.by, missing=missing)

    def job_withdrawn(self, job: Job) -> None:
        self._log.info("waiting manifest gone", job_id=job.id, source=job.source)

    def job_accepted(self, job: Job) -> None:
        self._log.info("accepted", job_id=job.id, source=job.source, by=job.by, name=job.name, state=job.state)

    def job_recovered(self, job: Job) -> None:
        self._log.warning("recovered", job_id=job.id, stage=job.stage, interruptions=job.interruptions)

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self._log.info(
            "stage started", job_id=job.id, stage=stage, attempt=job.attempts.get(stage), wait_s=round(wait_s, 3)
        )

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        write = self._log.info if result in ("done", "returned", "cancelled") else self._log.warning
        last: EventData = job.history[-1] if job.history and result != "done" else {}
        write(
            "stage ended",
            job_id=job.id,
            stage=stage,
            result=result,
            seconds=round(seconds, 3),
            **{key: value for key, value in last.items() if key in ("code", "message")},
        )

    def job_finished(self, job: Job) -> None:
        write = self._log.info if job.state in ("done", "cancelled") else self._log.error
        write(
            "job finished",
            job_id=job.id,
            name=job.name,
            state=job.state,
            code=job.error and job.error.get("code"),
            message=job.error and job.error.get("message"),
        )

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self._log.error("lane paused", lane=lane, code=error.code, message=error.message, again_in_s=round(delay_s, 1))

    def lane_resumed(self, lane: str) -> None:
        self._log.info("lane resumed", lane=lane)

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        self._log.warning("paused", scope=scope, by=pause.by, reason=pause.reason, until=pause.until)

    def queue_resumed(self, scope: Scope) -> None:
        self._log.info("resumed", scope=scope)

    def model_changed(self, change: ModelChange) -> None:
        self._log.info(f"model {change.change}", **change.model_dump(exclude={"event", "change"}, exclude_none=True))

    def late_result_refused(self, slot: str) -> None:
        self._log.warning(
            "late result refused",
            slot=slot,
            why="its worker had been given up, and the job was done elsewhere or waits",
        )

    def worker_died(self, lane: str, reason: str) -> None:
        self._log.error("worker died", lane=lane, reason=reason)

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        if error is None:
            self._log.info("inbox watched")
        else:
            self._log.warning(
                "inbox not watched", code=error.code, folders=folders, message=error.message, next=error.hint
            )

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        if error:
            self._log.error("config not reloaded, the old one is kept", code=error.code, message=error.message)
        elif waiting:
            self._log.warning(
                "config reloaded; some settings wait for the next start", applied=applied, waiting=waiting
            )
        else:
            self._log.info("config reloaded", applied=applied)
