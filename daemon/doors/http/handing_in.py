"""Hands in what a request brings, for every route that makes a job."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, JsonAnswer, to_root, wait_wanted, with_links
from daemon.doors.http.body import content_length, names_uploads, received, take_all_uploads
from daemon.doors.http.callers import Caller
from daemon.doors.http.events import wait_for_end
from daemon.doors.http.jobs import handed_in
from daemon.doors.http.jobs.row_uploads import row_files
from daemon.doors.http.jobs.together import PlainJob
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.limits import is_counted
from daemon.doors.http.problems import RequestError
from daemon.doors.job_names import check_name, next_name
from daemon.doors.submission import HandedIn
from daemon.errors import AvatarError, JobError
from daemon.jobs.record import FINISHED

#: When a client should look again, s.
LOOK_AGAIN_S: Final = 2
#: Largest request whose job is handed in together with others, which wait for its check, in bytes.
MOST_TOGETHER: Final = 16 << 10
#: An idempotency key, in quotes or bare.
KEY_PATTERN: Final = r'^(?:"[A-Za-z0-9._:/+=-]{1,255}"|[A-Za-z0-9._:/+=-]{1,255})$'


async def make_job(
    request: Request,
    door: Door,
    caller: Caller,
    uploads: KeptUploads,
    fixed: Mapping[str, Any] | None = None,
    wait: float | None = None,
    *,
    again: str = "",
    may_be_empty: bool = False,
) -> JSONResponse:
    """Hand in the job that a request describes.

    Args:
        fixed: keys of the manifest that the route says.
        wait: how long the client wants to wait for the end, s.
        again: name of the earlier job that is made again: the next version of it is the name where the request names none.
        may_be_empty: the request need not have a body.

    Returns:
        202 with the status and where to look; 200 where the job ended while the client waited.

    Raises:
        RequestError, JobError, MachineError: what is wrong; nothing was handed in then.
    """
    caller.check_may_submit()
    key = idempotency_key(request)
    inbox = door.jobs.paths.inbox
    if caller.limits.upload_bytes_per_day is not None:
        await run_in_threadpool(door.ledger.check, caller, content_length(request))
    async with received(request, inbox, door.bounds, door.uploads, may_be_empty=may_be_empty) as (manifest, got):
        name = manifest.pop("name", None)
        if name is not None:
            check_given_name(name)
        chosen = name is None and bool(again)
        if chosen:
            name = await run_in_threadpool(next_name, door.jobs.paths.outbox, again)
        for field, value in (fixed or {}).items():
            if manifest.setdefault(field, value) != value:
                raise RequestError(
                    "manifest-invalid",
                    f"`{field}` cannot be {str(manifest[field])[:40]!r} here: this address makes it {value!r}.",
                    "Leave it out, or use POST /jobs.",
                )

        def hand_in() -> HandedIn:
            door.callers.check_still(caller)  # the body may have taken hours
            door.ledger.add(caller, sum(path.stat().st_size for path in got.files.values()))

            def find(upload: str) -> Path:
                return uploads.find(upload, caller)

            kept = take_all_uploads(manifest, find)
            with row_files(inbox, {**got.files, **kept}, find) as (files, of_rows):
                return door.jobs.hand_in(
                    manifest, files, caller, name=name, chosen=chosen, key=key, take=not kept, of_rows=of_rows
                )

        is_small = 0 < content_length(request) <= MOST_TOGETHER
        if is_small and not (key or got.files or chosen or names_uploads(manifest) or is_counted(caller)):
            done = await door.groups.hand_in(PlainJob(manifest, caller, name))
        else:
            # One hop to another thread: each waits for a processor, which a daemon that renders has.
            done = await run_in_threadpool(hand_in)
    return await answer(request, door, caller, done, wait)


def check_given_name(name: object) -> None:
    """Refuse what cannot be what the results are called.

    Raises:
        RequestError: `manifest-invalid`, which points at the name.
    """
    try:
        if not isinstance(name, str):
            raise JobError("manifest-invalid", "`name` is no text.", "Give a name for the results, or none.")
        check_name(name)
    except JobError as exc:
        wrong = [{"pointer": "#/name", "detail": exc.message}]
        raise RequestError(exc.code, exc.message, exc.hint, errors=wrong) from exc


async def answer(request: Request, door: Door, caller: Caller, done: HandedIn, wait: float | None) -> JSONResponse:
    """Answer with a job that was handed in, after waiting for its end as long as the client wants; as `make_job`."""
    seconds = wait_wanted(request, wait)
    if seconds or done.again:
        try:
            status = await wait_for_end(lambda: door.status(done.job, caller), seconds)
        except (asyncio.CancelledError, AvatarError, OSError) as exc:
            # The server stops, the key was revoked, or the job cannot be looked at now. It is there: told otherwise it would be
            # sent again.
            if done.again and not isinstance(exc, asyncio.CancelledError):
                raise
            status = handed_in(done, caller)
    else:
        status = handed_in(done, caller)
    ended = bool(seconds) and status["state"] in FINISHED
    root = to_root(request)
    headers = {"Location": f"{root}jobs/{done.job}", "Cache-Control": "no-store"}
    if not ended:
        headers["Retry-After"] = str(LOOK_AGAIN_S)
    if done.again:
        headers["Idempotency-Replayed"] = "true"
    if seconds:
        headers["Preference-Applied"] = f"wait={seconds:g}"
    content = with_links(status, root)
    if done.notes:
        content["notes"] = list(done.notes)
    return JsonAnswer(content, 200 if ended else 202, headers)


def idempotency_key(request: Request) -> str:
    """Return the key in `Idempotency-Key`, in quotes or bare; empty without one.

    Raises:
        RequestError: `request-invalid`.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return ""
    if len(given) > 1 or not re.match(KEY_PATTERN, given[0]):
        raise RequestError(
            "request-invalid",
            "The header Idempotency-Key is no key.",
            "Send 1 to 255 letters, digits and the signs . _ : / + = -, once, such as a UUID.",
        )
    return given[0].strip('"')
