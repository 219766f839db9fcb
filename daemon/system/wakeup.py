"""A bell that wakes everyone who waits, in one event loop; from another thread by `notify_threadsafe`."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: How often it rang.
        self.notifications = 0

    def notify(self) -> None:
        """Wake all who wait now."""
        self.notifications += 1
        self._event.set()
        self._event = asyncio.Event()

    def bind(self) -> None:
        """Remember the running loop, for `notify_threadsafe`."""
        self._loop = asyncio.get_running_loop()

    def notify_threadsafe(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self.notify)

    async def wait(self, timeout_s: float | None = None, heard: int | None = None) -> bool:
        """Wait for the next ring; False when the time ran out first.

        Args:
            heard: `rings` at a time the caller knows; a ring since then counts as the next one.
        """
        if heard is not None and heard != self.notifications:
            return True
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
