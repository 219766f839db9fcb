"""Flushes folders beside the event loop: one flush for everything that was renamed into a folder before it begins.

Jobs that move at the same moment share it, and a job that moves on before it begins needs it no more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

log = structlog.get_logger()


class _Flush:
    """A flush that has not ended. `jobs`: those that still need it."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()
        self.due = asyncio.Event()
        self.task: asyncio.Task[None]


class FolderFlushes:
    """The flushes that are asked for, and those under way; of one folder, one at a time.

    Args:
        flush: flushes a folder, and retries that until it succeeds.
        flushed: is called for each job whose last move is flushed.
    """

    def __init__(self, flush: Callable[[Path], Awaitable[None]], flushed: Callable[[str], None]) -> None:
        self._flush, self._flushed = flush, flushed
        #: Those that have not begun, by folder.
        self._next: dict[Path, _Flush] = {}
        self._of_job: dict[str, _Flush] = {}
        self._one_at_a_time: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, folder: Path, job_id: str, delay_s: float) -> asyncio.Task[None]:
        """Flush the folder into which a job was moved, `delay_s` seconds from now at the latest, unless the job moves on before.
        Returns the task that flushes it.
        """
        self.drop(job_id)
        flush = self._next.get(folder)
        if flush is None:
            flush = self._next[folder] = _Flush()
            flush.task = asyncio.create_task(self._run(folder, flush, delay_s))
            self._tasks.add(flush.task)
            flush.task.add_done_callback(self._ended)
        flush.jobs.add(job_id)
        self._of_job[job_id] = flush
        if not delay_s:
            flush.due.set()
        return flush.task

    def drop(self, job_id: str) -> None:
        """Note that a job moves on, and that whoever moves it sees to the flush of its new folder."""
        if (flush := self._of_job.pop(job_id, None)) is not None:
            flush.jobs.discard(job_id)

    async def all_flushed(self) -> None:
        """Flush now what is asked for, and wait for the end."""
        while self._tasks:
            for flush in self._next.values():
                flush.due.set()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, folder: Path, flush: _Flush, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flush.due.wait(), delay_s or None)
        async with self._one_at_a_time[folder]:
            del self._next[folder]  # what is renamed from now on needs another flush
            if flush.jobs:
                await self._flush(folder)
        for job_id in flush.jobs:
            del self._of_job[job_id]
            self._flushed(job_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("move of a job not flushed", error=str(error))
