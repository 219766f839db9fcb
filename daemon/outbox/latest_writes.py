"""Writes files beside the event loop, one after the other, each with its newest content only.

A status that changes again before its turn comes is written once. A slow outbox, such as a network folder, holds up nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import structlog

from daemon.system.disk_thread import DiskThread

log = structlog.get_logger()

#: Makes what is to be written, in the event loop; what it returns writes it, in the thread.
Make = Callable[[], Callable[[], None]]


class LatestWrites:
    """The writes that are to be made, by key, in the order in which the keys came."""

    def __init__(self) -> None:
        self._disk = DiskThread("statuses")
        self._waiting: dict[str, Make] = {}
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
            self._waiting[key] = make
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
        """Wait until everything is written."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _work(self) -> None:
        try:
            while (item := self._begin_next()) is not None:
                await self._disk.run(self._write, *item)
        finally:
            self._task = None

    def _begin_next(self) -> tuple[str, Callable[[], None]] | None:
        """Return the next key and its write; None if nothing waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                key = next(iter(self._waiting))
                make, self._present = self._waiting.pop(key), key
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
