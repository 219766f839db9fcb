"""Between the daemon and systemd: ready, one line of status, the watchdog, longer starts and stops.

The watchdog is fed from the daemon's own loop, so a loop that stands still is seen; and only while no child that works has
fallen silent past the time after which its lane ends it, so a lane that no longer does its work is seen too. The inbox is left
out on purpose: a file server that does not answer is not mended by a restart, and what runs would be lost to it. A process
short of CPU is slow, not dead: the unit's WatchdogSec is minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.queue.pauses import SCOPES, Pause, Pauses, Scope
from daemon.queue.ready_queue import ReadyQueue
from daemon.telemetry.sd_notify import SystemdNotifier
from daemon.workers.lane import Lane
from daemon.workers.process import START_S

#: Between two looks at the state, in s; also how often the watchdog is fed at most.
LOOK_S = 5.0
#: How much longer a start may take at each look while it makes progress, and a stop beyond the time that stages get, in s.
EXTEND_S = 60.0


class SystemdReporter(Subscriber):
    def __init__(
        self,
        notifier: SystemdNotifier,
        settings: Settings,
        ready_queue: ReadyQueue,
        lanes: Sequence[Lane],
        pauses: Pauses,
    ) -> None:
        self._notifier = notifier
        self._settings = settings
        self._ready_queue = ready_queue
        self._lanes = lanes
        self._pauses = pauses
        self._progress: dict[str, float] = {}
        self._config_error: AvatarError | None = None
        self._intake_error: AvatarError | None = None
        self._last_status = ""
        self._ready = self._stopping = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def starting(self) -> None:
        """While the spool is put in order. It may have to wait for room on the disk: no reason to be killed."""
        while True:
            error = self._intake_error
            self._notifier.send("STATUS=Putting the spool in order" + (f"; waiting: {error.message}" if error else ""))
            self._notifier.extend_timeout(EXTEND_S)
            await asyncio.sleep(LOOK_S)

    def ready(self) -> None:
        self._ready = True
        self._last_status = self.status_line()
        self._notifier.send("READY=1", f"STATUS={self._last_status}")

    def stopping(self, grace_s: float) -> None:
        self._stopping = True
        self._notifier.send("STOPPING=1", "STATUS=Stopping: running stages may end, then jobs are given back")
        self._notifier.extend_timeout(grace_s + EXTEND_S)

    async def watch(self) -> None:
        """Feed the watchdog and keep the status line, as long as the daemon works."""
        pause = min(LOOK_S, self._notifier.watchdog_s / 4) if self._notifier.watchdog_s else LOOK_S
        while True:
            if self._notifier.watchdog_s and self.is_alive():
                self._notifier.send("WATCHDOG=1")
            if (line := self.status_line()) != self._last_status:
                self._last_status = line
                self._notifier.send(f"STATUS={line}")
            await asyncio.sleep(pause)

    def reload(self, read: Callable[[], None]) -> None:
        """Tell systemd that the configuration is read anew while `read` does so."""
        if not self._ready:  # what ends the reload would end the start as well
            read()
            return
        self._notifier.reloading()
        try:
            read()
        finally:
            self.ready()

    def readiness(self) -> tuple[bool, str]:
        """Whether what is dropped now would be taken in and worked on, and if not, why. May be called from any thread."""
        if not self._ready:
            return False, "the spool is being put in order"
        if self._stopping:
            return False, "stopping"
        held = [f"{scope} paused by {pause.by}" for scope, pause in self._ordered_pauses().items()]
        # Each is read once: it may have changed when it is read again.
        held += [f"{lane.name} lane paused: {pause.error.message}" for lane in self._lanes if (pause := lane.pause)]
        if error := self._intake_error:
            held.append(error.message)
        return not held, "; ".join(held) or "ready"

    def _ordered_pauses(self) -> dict[Scope, Pause]:
        return {scope: pause for scope in SCOPES if (pause := self._pauses.active(scope)) is not None}

    def is_alive(self) -> bool:
        """Whether every child that has a job was heard of lately."""
        limit, now = max(START_S, 2 * self._settings.lanes.silence_s), time.monotonic()
        return all(now - slot.worker.last_heard < limit for lane in self._lanes for slot in lane.slots if slot.job)

    # -- one line ------------------------------------------------------------------------------------------------

    def status_line(self) -> str:
        """The state in one line, as `systemctl status` shows it."""
        jobs = [slot.job for lane in self._lanes for slot in lane.slots if slot.job]
        parts = [f"{len(self._ready_queue)} waiting", f"{len(jobs)} running"]
        if jobs:
            parts[-1] += ": " + ", ".join(self._describe_job(job) for job in jobs)
        ordered = self._ordered_pauses().items()
        parts += [f"{scope} paused by {p.by}: {p.reason or 'no reason given'}" for scope, p in ordered]
        parts += [f"{lane.name} lane paused: {lane.pause.error.message}" for lane in self._lanes if lane.pause]
        if self._intake_error:
            parts.append(f"nothing is taken in: {self._intake_error.message}")
        if self._config_error:
            parts.append(f"config not reloaded, the old one is kept: {self._config_error.message}")
        return "; ".join(" ".join(part.split()) for part in parts)[:1000]

    def _describe_job(self, job: Job) -> str:
        done = self._progress.get(job.id, 0.0)
        return f"{job.name} ({job.stage} {done:.0%})" if done else f"{job.name} ({job.stage})"

    # -- events --------------------------------------------------------------------------------------------------

    def stage_progress(self, job: Job, stage: Stage, value: float) -> None:
        self._progress[job.id] = value

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        self._progress.pop(job.id, None)

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        if lane in ("intake", "spool"):
            self._intake_error = error

    def lane_resumed(self, lane: str) -> None:
        if lane in ("intake", "spool"):
            self._intake_error = None

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        self._config_error = error
