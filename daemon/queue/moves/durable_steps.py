"""Retries changes of a job's folder until the disk has them.

While the machine is at fault (disk full, I/O error), the spool counts as paused, and people are told so. The changes of a job
whose stage is over are made in threads, so that no flush holds up the event loop, and with it the next job. A move that a power
cut may undo, since the same work is then found done, is flushed beside what follows it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

from daemon.config import Settings
from daemon.errors import MachineError, from_exception
from daemon.events import Events
from daemon.jobs.record import Job
from daemon.queue.moves.folder_flushes import FolderFlushes
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.disk_thread import DiskThread

#: Changes that are flushed at a time beside the event loop.
THREADS = 4
#: A move that nobody waits for is flushed so long after it, in s, with all others into the same folder; that of a job which has
#: moved on by then is not.
FLUSH_S = 0.02


class DurableSteps:
    """Saves and moves jobs in the spool; each method returns when its change is durable, unless it is not to wait for that."""

    def __init__(self, settings: Settings, spool: Spool, events: Events) -> None:
        self._settings = settings
        self._spool = spool
        self._events = events
        #: Several, since a disk flushes for several callers nearly as fast as for one.
        self._disks = itertools.cycle([DiskThread(f"spool {number}") for number in range(THREADS)])
        #: Jobs whose changes are made in threads; set when that is over.
        self._in_threads: dict[str, asyncio.Event] = {}
        self._flushes = FolderFlushes(self._flush, spool.moved)

    def use_threads(self, job_id: str) -> None:
        """Make the changes of a job in threads from now on. Whatever else would change it waits for `put_down`."""
        self._in_threads[job_id] = asyncio.Event()

    def use_loop(self, job_id: str) -> None:
        """Make the changes of a job in the event loop again."""
        if (ended := self._in_threads.pop(job_id, None)) is not None:
            ended.set()

    def uses_threads(self, job_id: str) -> bool:
        """Return whether the changes of a job are made in threads."""
        return job_id in self._in_threads

    async def put_down(self, job_id: str) -> None:
        """Wait until no changes of a job are made in threads."""
        while (ended := self._in_threads.get(job_id)) is not None:
            await ended.wait()

    async def save(self, job: Job, directory: Path) -> None:
        """Write the record durably, without moving the job."""
        await self.retry(lambda: self._spool.save_job(job, directory), job)
        await self.retry(lambda: fs.OPS.sync_dir(directory), job)

    async def move(self, job: Job, source: Path, *, wait: bool = True) -> Path:
        """Move a job from the folder `source` to the one of its state and stage. Returns its new folder.

        Args:
            wait: return when the move is durable; else only its record is, and the move is flushed meanwhile (`flushed`). That
                suffices after a stage that ended well: where a power cut undoes the move, `STAGE.done.json` says that it did.
        """
        target = self._spool.folder_of(job)
        self._flushes.drop(job.id)

        def move_once() -> None:
            if source.exists() or not target.exists():
                self._spool.move_job(job, source, flush=wait)
            elif wait:  # an earlier try renamed it, but did not flush
                fs.OPS.sync_dir(target.parent)

        await self.retry(move_once, job)
        if not wait:
            self._flushes.ask(target.parent, job.id, FLUSH_S)
        return target

    async def start(self, job: Job, source: Path, *, wait: bool) -> Path:
        """Move a job to the stage that it starts with. Returns its new folder.

        Args:
            wait: return when the move is durable; else it is flushed meanwhile (`flushed`).
        """
        target = self._spool.folder_of(job)

        def start_once() -> None:
            if source.exists() or not target.exists():
                self._spool.start_job(job, source)

        await self.retry(start_once)
        flush = self._flushes.ask(target.parent, job.id, 0.0 if wait else FLUSH_S)
        if wait:
            await asyncio.shield(flush)
        return target

    async def flushed(self) -> None:
        """Wait until all moves are durable."""
        await self._flushes.all_flushed()

    async def _flush(self, folder: Path) -> None:
        await self._retry(lambda: next(self._disks).run(fs.OPS.sync_dir, folder))

    async def retry(self, step: Callable[[], None], job: Job | None = None) -> None:
        """Retry a disk step until it succeeds, with growing pauses of at most `lanes.pause_s`.

        Args:
            job: the job that it changes.

        Raises:
            AvatarError, OSError: the fault is not the machine's.
        """

        async def run() -> None:
            if job is not None and self.uses_threads(job.id):
                await next(self._disks).run(step)
            else:
                step()

        await self._retry(run)

    async def _retry(self, step: Callable[[], Awaitable[None]]) -> None:
        delay, paused = min(0.5, self._settings.lanes.pause_s), False
        while True:
            try:
                await step()
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
