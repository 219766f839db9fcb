"""Ends the daemon's parts when it stops, one after the other, each within a limit: one that hangs keeps no other from its end.

The sum of the limits and `lanes.drain_s` is what a stop takes at most. systemd is asked for more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

import structlog

from daemon.history.keeper import END_S as HISTORY_S
from daemon.workers import lane

log = structlog.get_logger()

#: The slots, beyond the grace of running stages, s.
LANES_S: Final = lane.END_S
#: Manifests that are being taken in; a file server may never answer, s.
INTAKE_S: Final = 5.0
#: Loops that remove or write down something at their end, each in a thread that may wait for a file server, s.
LOOPS_S: Final = 5.0
#: The driver of the Ray cluster, s.
CLUSTER_S: Final = 10.0
#: Calls in threads, which may wait for a file server, s.
THREADS_S: Final = 5.0
#: Statuses that are being written; they are written again when the jobs go on, s.
STATUS_S: Final = 5.0
#: Servers and watchers, whose threads are joined, s.
SERVERS_S: Final = 6.0
#: What a stop takes at most beyond `lanes.drain_s`. The lanes, the intake and the loops end side by side.
STOP_S: Final = max(LANES_S, INTAKE_S, LOOPS_S) + CLUSTER_S + THREADS_S + STATUS_S + HISTORY_S + SERVERS_S
#: So much longer does systemd wait for a machine that is short of processor time, s.
MARGIN_S: Final = 10.0


async def within(limit_s: float, what: str, end: Awaitable[object]) -> None:
    """Wait for the end of a part of the daemon, for at most `limit_s` seconds; what fails or takes longer is logged and left."""
    task = asyncio.ensure_future(end)
    _, late = await asyncio.wait([task], timeout=limit_s)
    if late:
        task.cancel()
        log.error("not waited for any longer at the stop", what=what, limit_s=limit_s)
    elif not task.cancelled() and (failure := task.exception()) is not None:
        log.error("not ended well at the stop", what=what, exc_info=failure)
