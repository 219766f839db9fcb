"""Retries changes of a job's folder until the disk has them.

While the machine is at fault (disk full, I/O error), the spool counts as paused, and people are told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from daemon.config import Settings
from daemon.errors import MachineError, from_exception
from daemon.events import Events
from daemon.jobs.record import Job
from daemon.queue.spool import Spool
from daemon.system import fs


class DurableSteps:
    """Saves and moves jobs in the spool; each method returns when its change is durable."""

    def __init__(self, settings: Settings, spool: Spool, events: Events) -> None:
        self._settings = settings
        self._spool = spool
        self._events = events

    async def save(self, job: Job, directory: Path) -> None:
        """Write the record durably, without moving the job."""
        await self.retry(lambda: self._spool.save_job(job, directory))
        await self.retry(lambda: fs.OPS.sync_dir(directory))

    async def move(self, job: Job, source: Path) -> Path:
        """Move a job from the folder `source` to the one of its state and stage, durably. Returns its new folder."""
        target = self._spool.folder_of(job)

        def move_once() -> None:
            if source.exists() or not target.exists():
                self._spool.move_job(job, source)
            else:  # an earlier try renamed it, but did not flush
                fs.OPS.sync_dir(target.parent)

        await self.retry(move_once)
        return target

    async def retry(self, step: Callable[[], None]) -> None:
        """Retry a disk step until it succeeds, with growing pauses of at most `lanes.pause_s`.

        Raises:
            AvatarError, OSError: the fault is not the machine's.
        """
        delay, paused = min(0.5, self._settings.lanes.pause_s), False
        while True:
            try:
                step()
            except (OSError, MachineError) as exc:
                error = from_exception(exc)
                if not isinstance(error, MachineError):
                    raise
                self._events.lane_paused("spool", error, delay)
                paused = True
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._settings.lanes.pause_s)
            else:
                if paused:
                    self._events.lane_resumed("spool")
                return
