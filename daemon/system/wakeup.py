"""A bell that wakes everyone who waits, in one event loop; from another thread by `ring_threadsafe`."""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: How often it rang.
        self.rings = 0

    def ring(self) -> None:
        """Wake all who wait now."""
        self.rings += 1
        self._event.set()
        self._event = asyncio.Event()

    def bind(self) -> None:
        """Remember the running loop, for `ring_threadsafe`."""
        self._loop = asyncio.get_running_loop()

    def ring_threadsafe(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self.ring)

    async def wait(self, timeout_s: float | None = None, heard: int | None = None) -> bool:
        """Wait for the next ring; False when the time ran out first.

        Args:
            heard: `rings` at a time the caller knows; a ring since then counts as the next one.
        """
        if heard is not None and heard != self.rings:
            return True
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
