"""Reports to systemd: readiness, a status line, the watchdog, and extended timeouts of start and stop.

The watchdog is notified from the daemon's loop, so a blocked loop is detected. It is notified only while no running worker has
been silent beyond the time after which its lane should have killed it, so a broken lane is detected too. The inbox is not
checked: a restart does not repair a file server, and would interrupt running jobs. A process short of CPU is only slow, so the
unit's WatchdogSec is minutes.
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
from daemon.workers.worker import START_S

#: Interval of checks of the state, in s; also the longest interval of watchdog notifications.
LOOK_S = 5.0
#: Extension of the start timeout at each check, in s.
EXTEND_S = 60.0


class SystemdReporter(Subscriber):
    """Reports the daemon's state to systemd, and answers `/readyz`."""

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
        self._unwatched: AvatarError | None = None
        self._last_status = ""
        self._ready = self._stopping = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def starting(self) -> None:
        """Extend the start timeout during recovery, which may have to wait for disk space, until cancelled."""
        while True:
            error = self._intake_error
            self._notifier.send("STATUS=Putting the spool in order" + (f"; waiting: {error.message}" if error else ""))
            self._notifier.extend_timeout(EXTEND_S)
            await asyncio.sleep(LOOK_S)

    def ready(self) -> None:
        """Report that the daemon is ready."""
        self._ready = True
        self._last_status = self.status_line()
        self._notifier.send("READY=1", f"STATUS={self._last_status}")

    def stopping(self, limit_s: float) -> None:
        """Report that the daemon stops, which takes at most `limit_s` seconds."""
        self._stopping = True
        self._notifier.send("STOPPING=1", "STATUS=Stopping: running stages may finish, then jobs return to the queue")
        self._notifier.extend_timeout(limit_s)

    async def watch(self) -> None:
        """Notify the watchdog and update the status line, until cancelled."""
        pause = min(LOOK_S, self._notifier.watchdog_s / 4) if self._notifier.watchdog_s else LOOK_S
        while True:
            if self._notifier.watchdog_s and self.is_alive():
                self._notifier.send("WATCHDOG=1")
            if (line := self.status_line()) != self._last_status:
                self._last_status = line
                self._notifier.send(f"STATUS={line}")
            await asyncio.sleep(pause)

    def reload(self, read: Callable[[], None]) -> None:
        """Call `read`, which reloads the configuration, and report the reload to systemd."""
        if not self._ready:  # READY=1, which ends the reload, would also end the start
            read()
            return
        self._notifier.reloading()
        try:
            read()
        finally:
            self.ready()

    def readiness(self) -> tuple[bool, str]:
        """Return whether a job dropped now would be accepted and processed, and if not, why. Safe to call from any thread."""
        if not self._ready:
            return False, "the spool is being recovered"
        if self._stopping:
            return False, "stopping"
        held = [f"{scope} paused by {pause.by}" for scope, pause in self._ordered_pauses().items()]
        # Each is read once, as another thread may change it.
        pauses = [(lane, lane.pause) for lane in self._lanes]
        going = {lane.name for lane, pause in pauses if pause is None}  # one GPU of several that go on
        held += [
            f"{lane.title} lane paused: {pause.error.message}"
            for lane, pause in pauses
            if pause and lane.name not in going
        ]
        if error := self._intake_error:
            held.append(error.message)
        return not held, "; ".join(held) or "ready"

    def _ordered_pauses(self) -> dict[Scope, Pause]:
        return {scope: pause for scope in SCOPES if (pause := self._pauses.active(scope)) is not None}

    def is_alive(self) -> bool:
        """Return whether every worker with a job sent a message recently."""
        limit, now = max(START_S, 2 * self._settings.lanes.silence_s), time.monotonic()
        return all(now - slot.worker.last_heard < limit for lane in self._lanes for slot in lane.slots if slot.job)

    # -- one line ------------------------------------------------------------------------------------------------

    def status_line(self) -> str:
        """Return the state in one line, as `systemctl status` shows it."""
        jobs = [slot.job for lane in self._lanes for slot in lane.slots if slot.job]
        parts = [f"{len(self._ready_queue)} waiting", f"{len(jobs)} running"]
        if jobs:
            parts[-1] += ": " + ", ".join(self._describe_job(job) for job in jobs)
        ordered = self._ordered_pauses().items()
        parts += [f"{scope} paused by {p.by}: {p.reason or 'no reason given'}" for scope, p in ordered]
        parts += [f"{lane.name} lane paused: {lane.pause.error.message}" for lane in self._lanes if lane.pause]
        if self._intake_error:
            parts.append(f"intake paused: {self._intake_error.message}")
        if self._unwatched:
            parts.append(self._unwatched.message)
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

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        self._unwatched = error

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        self._config_error = error
