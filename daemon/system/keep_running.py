"""Keeps a task running that is to run as long as the daemon: an error in one of them must not end the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()

#: A task that failed starts again after this long at first, and at most, in s.
FIRST_S, LONGEST_S = 1.0, 60.0


async def keep_running(name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Run a task until cancelled. Where it fails, or ends, that is logged, and it starts again: soon, or later and later where
    it fails again and again.
    """
    delay_s = FIRST_S
    while True:
        began = time.monotonic()
        try:
            await task()
            log.error("task ended", task=name, again_s=delay_s)
        except Exception:
            log.exception("task failed", task=name, again_s=delay_s)
        if time.monotonic() - began > LONGEST_S:
            delay_s = FIRST_S
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, LONGEST_S)
