"""Keeps the index up to date while the daemon runs. No job depends on it: what fails is told once, and mended later."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from daemon.events import Subscriber
from daemon.history import store
from daemon.history.database import (
    DamagedError,
    close_cleanly,
    discard,
    give_to_readers,
    is_complete,
    is_damage,
    open_to_write,
)
from daemon.history.entry import Entry
from daemon.history.folders import JobFolders
from daemon.history.freshness import FreshnessFile
from daemon.history.renewal import Renewal
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system.disk_thread import DiskThread
from daemon.system.permissions import make_folder
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

#: Changes within this time, in s, are written in one transaction.
GATHER_S = 0.05
#: A piece of the comparison is followed by so many times its own time of rest.
REST = 4
#: Seconds between two comparisons of index and folders, as people may remove results; and before a failed one is tried again.
COMPARE_S, RETRY_S = 6 * 3600.0, 30.0
#: Most jobs whose changes are kept while the index cannot be written; with more of them it is compared with the folders later.
MOST_PENDING = 20_000
#: How long the end of the daemon waits for the last changes, in s.
END_S = 5.0


class HistoryKeeper(Subscriber):
    """Writes every event into the index, many in one transaction, in a thread of its own.

    Args:
        folder: `paths.history`.
        compare_s, retry_s: see `COMPARE_S`, `RETRY_S`.
    """

    def __init__(
        self, folder: Path, spool: Spool, outbox: Outbox, *, compare_s: float = COMPARE_S, retry_s: float = RETRY_S
    ) -> None:
        self._folder = folder
        self._outbox = outbox
        self._folders = JobFolders(spool, outbox)
        self._compare_s, self._retry_s = compare_s, retry_s
        self._disk = DiskThread("history")
        self._wake = Wakeup()
        self._lock = threading.Lock()
        self._freshness = FreshnessFile()
        #: What is not written yet, by job; None for one to be looked for on the disk.
        self._pending: dict[str, Entry | None] = {}
        self._removed: set[str] = set()  # names of results
        self._lost = True  # something may have happened that the index does not know
        self._renewal: Renewal | None = None
        self._compare_at = 0.0
        self._retry_at = 0.0
        self._told = ""

    # -- events --------------------------------------------------------------------------------------------------

    def job_waiting(self, job: Job, missing: list[str]) -> None:
        self._note(job)

    def job_withdrawn(self, job: Job) -> None:
        self._add(job.id, None)

    def job_accepted(self, job: Job) -> None:
        self._note(job)

    def job_recovered(self, job: Job) -> None:
        self._note(job)

    def job_changed(self, job: Job) -> None:
        self._note(job)

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self._note(job)

    def job_ending(self, job: Job) -> None:
        self._note(job)  # before its status says so

    def job_finished(self, job: Job) -> None:
        self._note(job)

    def results_removed(self, jobs: list[str], names: list[str]) -> None:
        with self._lock:
            self._removed.update(names)
        for job in jobs:
            self._add(job, None)
        self._wake.notify()

    def _note(self, job: Job) -> None:
        self._add(job.id, Entry.of_job(job))  # now, as the record goes on

    def _add(self, job: str, entry: Entry | None) -> None:
        with self._lock:
            if len(self._pending) >= MOST_PENDING and job not in self._pending:
                self._forget()
            self._pending[job] = entry
            self._freshness.note()
        self._wake.notify()

    def _forget(self) -> None:
        self._pending, self._removed, self._lost = {}, set(), True
        self._freshness.written(self._freshness.noted)  # by the comparison, for which nobody waits

    # -- in the event loop ---------------------------------------------------------------------------------------

    async def loop(self) -> None:
        """Write what the events say, and compare the index with the folders, until cancelled."""
        await self._disk.run(self._attempt, self._prepare)
        while True:
            heard = self._wake.notifications
            if (left := self._retry_at - time.monotonic()) > 0:
                await asyncio.sleep(left)
            await self._disk.run(self._attempt, self._write)
            began = time.monotonic()
            if self._lost or began >= self._compare_at or self._renewal is not None:
                await self._disk.run(self._attempt, self._compare)
                await asyncio.sleep(REST * (time.monotonic() - began))
            if self._renewal is None and not self._lost:
                await self._wake.wait(max(0.0, self._compare_at - time.monotonic()), heard)
                await asyncio.sleep(GATHER_S)

    async def close(self) -> None:
        """Write the last changes, and note that the index is whole."""
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._disk.run(self._attempt, self._end), END_S)

    # -- in the thread -------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        make_folder(self._folder)
        give_to_readers(self._folder, self._outbox.root)
        with self._lock, contextlib.suppress(OSError):
            self._freshness.open(self._folder)

    def _end(self) -> None:
        self._write()
        close_cleanly(self._folder)
        with self._lock:
            self._freshness.close()

    def _attempt(self, call: Callable[[], None]) -> None:
        """Do something with the index; what fails is told once, and the next comparison mends it."""
        try:
            try:
                call()
            except DamagedError as exc:
                self._throw_away(str(exc))
            except sqlite3.DatabaseError as exc:
                if not is_damage(exc):
                    raise
                self._throw_away(str(exc))
        except (sqlite3.Error, OSError) as exc:
            self._retry_at = time.monotonic() + self._retry_s
            self._renewal = None
            with self._lock:
                self._forget()
            if self._told != str(exc):
                log.warning("index of jobs not written", path=str(self._folder), error=str(exc), again_s=self._retry_s)
            self._told = str(exc)
        else:
            if self._told and not self._lost:
                log.info("index of jobs written again", path=str(self._folder))
                self._told = ""

    def _throw_away(self, why: str) -> None:
        log.warning("index of jobs made again", path=str(self._folder), why=why)
        self._renewal, self._lost = None, True
        discard(self._folder)

    def _write(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
            removed, self._removed = self._removed, set()
            noted = self._freshness.noted
        if not pending and not removed:
            return
        try:
            self._apply(pending, removed)
        finally:  # what failed is found by the comparison, for which nobody waits
            self._freshness.written(noted)

    def _apply(self, pending: dict[str, Entry | None], removed: set[str]) -> None:
        connection = open_to_write(self._folder)
        try:
            self._lost = self._lost or (self._renewal is None and not is_complete(connection))
            for name in removed:
                for (job,) in connection.execute("SELECT job FROM jobs WHERE name = ?", (name,)):
                    pending.setdefault(job, None)
            store.apply(connection, [(job, entry or self._look(connection, job)) for job, entry in pending.items()])
        finally:
            connection.close()

    def _look(self, connection: sqlite3.Connection, job: str) -> Entry | None:
        row = connection.execute("SELECT name FROM jobs WHERE job = ?", (job,)).fetchone()
        return self._folders.entry(job, row[0] if row else "")

    def _compare(self) -> None:
        """One piece of the comparison. What the events say meanwhile is written after it, and so counts more."""
        if self._renewal is None:
            self._lost = False
            self._renewal = Renewal(self._folder, self._folders)
        done = self._renewal.step()
        with self._lock:
            self._freshness.hold()
        if done:
            log.info("index of jobs compared", changed=self._renewal.changed)
            self._renewal = None
            self._compare_at = time.monotonic() + self._compare_s
