"""Wakes all coroutines that wait for a change."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """Wakes all waiting coroutines of one event loop.

    Attributes:
        notifications: how often it was notified.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.notifications = 0

    def notify(self) -> None:
        """Wake all coroutines that wait now. Call it in the event loop."""
        self.notifications += 1
        self._event.set()
        self._event = asyncio.Event()

    def bind(self) -> None:
        """Store the running loop, for `notify_threadsafe`."""
        self._loop = asyncio.get_running_loop()

    def notify_threadsafe(self) -> None:
        """Call `notify` from another thread; does nothing before `bind`."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits
                self._loop.call_soon_threadsafe(self.notify)

    async def wait(self, timeout_s: float | None = None, seen: int | None = None) -> bool:
        """Wait for the next notification; returns False if `timeout_s` seconds pass first.

        Args:
            seen: earlier value of `notifications`; if there was a notification since, this returns at once.
        """
        if seen is not None and seen != self.notifications:
            return True
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
