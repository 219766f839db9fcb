"""Follows a job for a client by server-sent events: its whole status at once, and again whenever it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from daemon.doors.http.answers import as_sent, etag_of
from daemon.doors.http.connections import ENDLESS
from daemon.errors import AvatarError
from daemon.jobs.record import FINISHED

#: Time between two looks at a status, s; between two signs of life; and before a client connects again, ms.
LOOK_S: Final = 0.5
PING_S: Final = 15.0
RETRY_MS: Final = 3000
#: The end of a job is seen so much of its duration too late, or at least the first time after so long, s.
_LATE: Final = 0.05
_FIRST_LOOK_S: Final = 0.01
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def follow(request: Request, events: AsyncIterator[str]) -> StreamingResponse:
    """Answer with events, for as long as there are some. They break off as soon as the server stops: the client comes back."""
    setattr(request.state, ENDLESS, True)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


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


async def _never() -> bool:
    return False


async def wait_for_end(
    look: Callable[[], dict[str, Any]],
    seconds: float,
    gone: Callable[[], Awaitable[bool]] = _never,
    enough: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Return the status of a job when it has ended, or after so many seconds.

    The longer it has been waited, the longer the time between two looks: somebody listens to what is ready within half a second.

    Args:
        gone: says whether the client has gone.
        enough: says whether no more is waited for.

    Raises:
        ClientDisconnect: it has.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        status = await run_in_threadpool(look)
        waited = loop.time() - began
        if status["state"] in FINISHED or waited >= seconds or enough():
            return status
        if await gone():
            raise ClientDisconnect()
        await asyncio.sleep(min(max(_FIRST_LOOK_S, waited * _LATE), LOOK_S, seconds - waited))


def _event(name: str, data: Mapping[str, object], event_id: str) -> str:
    return f"event: {name}\nid: {event_id}\ndata: {json.dumps(as_sent(data))}\n\n"
