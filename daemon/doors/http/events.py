"""Follows a job for a client by server-sent events: its whole status at once, and again whenever it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from daemon.doors.http.jobs import etag_of
from daemon.errors import AvatarError
from daemon.jobs.record import FINISHED

#: Time between two looks at a status, s; between two signs of life; and before a client connects again, ms.
LOOK_S: Final = 0.5
PING_S: Final = 15.0
RETRY_MS: Final = 3000
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def job_events(look: Callable[[], dict[str, Any]], last_id: str = "") -> AsyncIterator[str]:
    """Yield the events of one job: `status` with its status, now and at each change, and `end` behind the last.

    Args:
        look: returns the status; an error ends the stream with an event `error`.
        last_id: the id of the last event that the client has. A change that it has not seen is sent at once; so is the present
            state.
    """
    yield f"retry: {RETRY_MS}\n\n"
    known, silent = "", 0.0
    while True:
        try:
            status = await run_in_threadpool(look)
        except AvatarError as exc:
            yield _event("error", exc.to_dict(), last_id)
            return
        mark = etag_of(status).strip('"')
        if mark != known:
            known, silent = mark, 0.0
            yield _event("status", status, mark)
        if status["state"] in FINISHED:
            yield _event("end", {"state": status["state"]}, mark)
            return
        await asyncio.sleep(LOOK_S)
        silent += LOOK_S
        if silent >= PING_S:
            silent = 0.0
            yield ": ping\n\n"


async def wait_for_end(look: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Return the status of a job when it has ended, or after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline, delay = loop.time() + seconds, 0.03
    while True:
        status = await run_in_threadpool(look)
        left = deadline - loop.time()
        if status["state"] in FINISHED or left <= 0:
            return status
        await asyncio.sleep(min(delay, left))
        delay = min(delay * 1.5, LOOK_S)


def _event(name: str, data: dict[str, Any], event_id: str) -> str:
    return f"event: {name}\nid: {event_id}\ndata: {json.dumps(data)}\n\n"
