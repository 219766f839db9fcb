"""Sends a small test job through the whole system at intervals: inbox, every stage, outbox.

Without other jobs, it shows that a dropped job would still become a video. It is processed like a user's job, and its results
are removed from the outbox. It is off unless `heartbeat.every_s` is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.events import Subscriber
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.system import fs
from daemon.system.disk_thread import in_thread
from daemon.system.mount_guard import MountGuard

log = structlog.get_logger()

NAME = "avatard-heartbeat"
MANIFEST = f"""\
# avatard's own: sent every heartbeat.every_s seconds to see that the whole system works. It goes away by itself.
text: Still here.
image: {NAME}.jpg
output: {NAME}
size: 256x256
quality: low
priority: 50
"""
PICTURE = Path(__file__).with_suffix(".jpg")
#: Interval of checks whether a test job is due, in s; the setting may change at any time.
LOOK_S = 1.0


class Canary(Subscriber):
    """Sends test jobs, and exports when they were sent and passed each stage.

    Args:
        mount_guard: that of the inbox; nothing is written while the inbox is not mounted.
    """

    def __init__(self, settings: Settings, mount_guard: MountGuard, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._mount_guard = mount_guard
        self._sent_at = 0.0
        self._job_id: str | None = None
        self._interval_metric = Gauge(
            "avatar_heartbeat_interval_seconds", "Time between two heartbeat jobs; 0: none are sent.", registry=registry
        )
        self._sent_metric = Gauge(
            "avatar_heartbeat_sent_timestamp_seconds", "When the last one was dropped; 0: never.", registry=registry
        )
        self._seen_metric = Gauge(
            "avatar_heartbeat_seen_timestamp_seconds",
            "When the last one came through a stage; 0: never.",
            ["stage"],
            registry=registry,
        )
        for stage in KINDS["video"].stages:  # those that a heartbeat passes
            self._seen_metric.labels(stage)

    async def loop(self) -> None:
        """Send a test job every `heartbeat.every_s` seconds, until cancelled."""
        while True:
            every = self._settings.heartbeat.every_s
            self._interval_metric.set(every)
            if every and time.monotonic() - self._sent_at >= every and self._may_send():
                try:
                    await in_thread(self._send)
                except (
                    OSError,
                    MachineError,
                ) as exc:  # away or full: the next one, then; that none was seen is the alarm
                    log.warning("heartbeat not sent", error=str(exc))
                self._sent_at = time.monotonic()
            await asyncio.sleep(LOOK_S)

    def _may_send(self) -> bool:
        """Return whether no test job is in the system: they must not accumulate while the queue is paused."""
        return self._job_id is None and not os.path.lexists(self._settings.paths.inbox / f"{NAME}.yaml")

    def _send(self) -> None:
        inbox = self._settings.paths.inbox
        with self._mount_guard.held(adopt=False):
            fs.replace_bytes(inbox / f"{NAME}.jpg", PICTURE.read_bytes(), durable=False)
            fs.replace_bytes(inbox / f"{NAME}.yaml", MANIFEST.encode(), durable=False)
        self._sent_metric.set_to_current_time()

    # -- events --------------------------------------------------------------------------------------------------

    def job_accepted(self, job: Job) -> None:
        if job.source == f"{NAME}.yaml" and job.state != "failed":
            self._job_id = job.id

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        if job.id == self._job_id and result == "done":
            self._seen_metric.labels(stage).set_to_current_time()

    def job_finished(self, job: Job) -> None:
        if job.source != f"{NAME}.yaml":
            return
        self._job_id = None
        names = [str(output["file"]) for output in job.outputs.get("outputs", [])]
        for name in (*names, f"{job.name}.json"):
            with contextlib.suppress(OSError):
                os.unlink(self._settings.paths.outbox / name)
