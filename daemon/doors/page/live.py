"""Keeps pages up to date: a stream of server-sent events, each the whole present fragment of the page that asks.

The first comes at once on every connection, so that a page that was cut off shows what is. A fragment is made again only when a
file that it depends on has changed, at most once a second, and at least every fifteen for what it says of times.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from daemon.doors.http.events import PING_S, RETRY_MS, follow
from daemon.doors.page.signed_in import page_caller
from daemon.errors import AvatarError

LOOK_S: Final = 1.0
_AGAIN_S: Final = 15.0


def stream(request: Request, fragment: Callable[[], str], depends: Callable[[], Iterable[Path]]) -> StreamingResponse:
    """Answer with a stream of a page's fragment.

    It ends when its caller may not look any more: the key was revoked, or somebody signed out.

    Args:
        fragment: renders it.
        depends: the files and folders whose change may change it.
    """
    return follow(request, _events(request, fragment, depends))


async def _events(
    request: Request, fragment: Callable[[], str], depends: Callable[[], Iterable[Path]]
) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    marks: tuple[tuple[int, int], ...] = ()
    sent, age, silent = "", 0.0, 0.0
    while True:
        now = await run_in_threadpool(lambda: tuple(_mark(path) for path in depends()))
        if now != marks or age >= _AGAIN_S:
            try:
                await run_in_threadpool(page_caller, request)
            except AvatarError:
                return
            html = await run_in_threadpool(fragment)
            marks, age = now, 0.0
            digest = hashlib.sha256(html.encode()).hexdigest()[:16]
            if digest != sent:
                sent, silent = digest, 0.0
                yield f"id: {digest}\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
        await asyncio.sleep(LOOK_S)
        age, silent = age + LOOK_S, silent + LOOK_S
        if silent >= PING_S:
            silent = 0.0
            yield ": ping\n\n"


def _mark(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
