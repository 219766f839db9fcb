"""Writes files beside the event loop, one after the other, each with its newest content only.

A status that changes again within `GATHER_S`, or before its turn comes, is written once: a stage that takes no time has none. A
slow outbox, such as a network folder, holds up nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import structlog

from daemon.system.disk_thread import DiskThread

log = structlog.get_logger()

#: Changes of one status within this time, in s, are written once.
GATHER_S = 0.05

#: Makes what is to be written, in the event loop; what it returns writes it, in the thread.
Make = Callable[[], Callable[[], None]]


class LatestWrites:
    """The writes that are to be made, by key, in the order in which the keys came.

    Args:
        gather_s: changes of one file within this time, in s, are written once.
    """

    def __init__(self, gather_s: float = 0.0) -> None:
        self._gather_s = gather_s
        self._disk = DiskThread("statuses")
        #: By key: since when it waits, monotonic, in s, and what makes the newest content.
        self._waiting: dict[str, tuple[float, Make]] = {}
        self._hurry = asyncio.Event()
        #: The key of the write that is being made; empty if it was discarded.
        self._present = ""
        self._lock = threading.Lock()  # for the two above
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def put(self, key: str, make: Make) -> None:
        """Write soon, in place of what waits with the same key; at once where no event loop runs."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            make()()
            return
        with self._lock:
            since, _ = self._waiting.get(key, (time.monotonic(), make))
            self._waiting[key] = since, make
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    def discard(self, key: str) -> None:
        """Write nothing any more of what was put with a key; returns when a write of it that was begun is over. Safe to call from
        any thread.
        """
        with self._lock:
            self._waiting.pop(key, None)
            if self._present != key:
                return
            self._present = ""
        with self._writing:
            pass

    async def written(self) -> None:
        """Write everything now, and wait for the end."""
        while self._task is not None:
            self._hurry.set()
            await asyncio.shield(self._task)
        self._hurry.clear()

    async def _work(self) -> None:
        try:
            while await self._wait_for_next():
                if (item := self._begin_next()) is not None:
                    await self._disk.run(self._write, *item)
        finally:
            self._task = None

    async def _wait_for_next(self) -> bool:
        """Wait until the time of the oldest change is over. Returns False if nothing waits."""
        with self._lock:
            since = next((since for since, _ in self._waiting.values()), None)
        if since is None:
            return False
        if (left := since + self._gather_s - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), left)
        return True

    def _begin_next(self) -> tuple[str, Callable[[], None]] | None:
        """Return the next key and its write; None if nothing waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                key = next(iter(self._waiting))
                (_, make), self._present = self._waiting.pop(key), key
            try:
                return key, make()
            except Exception:
                log.exception("status not written", job_id=key)

    def _write(self, key: str, write: Callable[[], None]) -> None:
        with self._writing:
            with self._lock:
                if self._present != key:  # it was discarded
                    return
            try:
                write()
            except Exception:  # a bug must not keep the others from being written
                log.exception("status not written", job_id=key)
            with self._lock:
                self._present = ""
