"""What the routes share: who calls, how answers look, and which errors a route may answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Query, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from daemon.config import Settings
from daemon.doors.http.body import Uploads
from daemon.doors.http.callers import Caller, Callers
from daemon.doors.http.incoming import Bounds
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.jobs.together import HandInGroups
from daemon.doors.http.limits import UploadLedger
from daemon.doors.http.problems import MEDIA_TYPE
from daemon.doors.voice_list import with_voice_list
from daemon.jobs.iso_time import read_iso
from daemon.jobs.record import FINISHED
from daemon.telemetry.door_metrics import DoorMetrics

#: Longest time that a request waits for a job, s.
MAX_WAIT_S: Final = 60.0
#: Most speeches that one process sends while they are spoken.
MOST_SPOKEN: Final = 16
#: Levels of nesting in a status that are answered: a manifest has 16 at most, and JSON of near a thousand cannot be written.
MOST_LEVELS: Final = 64
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?:$|[,;\s])")


@dataclass(frozen=True)
class Door:
    """What the routes of one app work with."""

    settings: Settings
    jobs: Jobs
    callers: Callers
    uploads: Uploads
    groups: HandInGroups
    ledger: UploadLedger
    metrics: DoorMetrics
    #: Speeches that are sent while they are spoken, each by an ffmpeg of its own; others wait.
    speaking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_SPOKEN))

    def status(self, job: str, caller: Caller) -> dict[str, Any]:
        """Return the status of a job for a request that lasts, in which the caller's key may be revoked.

        Raises:
            RequestError: `key-refused`: it was.
            AvatarError, OSError: as `daemon.doors.http.jobs.Jobs.status`.
        """
        self.callers.check_still(caller)
        return self.jobs.status(job, caller)

    @property
    def bounds(self) -> Bounds:
        """How much may come."""
        intake = self.settings.intake
        return Bounds(
            intake.max_file_bytes,
            self.settings.server.max_upload_bytes,
            intake.max_manifest_bytes,
            intake.reserve_mb * 2**20,
            self.settings.paths.spool,
        )


async def the_door(request: Request) -> Door:
    """As `door_of`, for the framework, which would run a plain function in another thread."""
    return door_of(request)


def door_of(request: Request) -> Door:
    """Return what the app of a request works with."""
    return cast(Door, request.app.state.door)


async def caller_of(request: Request) -> Caller:
    """Return who sends a request. It reads a small file or none, which costs less than another thread would.

    Raises:
        RequestError: `key-missing`, `key-refused`.
    """
    found = door_of(request).callers.find(
        request.headers.get("authorization"), request.headers.get("x-api-key"), time.monotonic()
    )
    request.state.caller = found.name
    return found


_KEY_WORDS: Final = "An API key, `avk_…`; not wanted where the server has none."
#: Only say in the description of the API that a key is wanted, and the two ways to send it; `caller_of` looks at it.
WANTS_KEY: Final = (
    Security(HTTPBearer(auto_error=False, description=_KEY_WORDS)),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description=_KEY_WORDS)),
)
Calling = Annotated[Caller, Depends(caller_of)]
TheDoor = Annotated[Door, Depends(the_door)]


class Problem(BaseModel):
    """Every error (RFC 9457)."""

    type: str = Field(examples=["urn:avatard:error:job-unknown"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no job job-20260102T030405Z-0a1b2c3d."])
    instance: str | None = None
    code: str = Field(examples=["job-unknown"], description="Stable; docs/errors.md lists them.")
    hint: str = Field(examples=["The list of jobs shows those there are."], description="What to do; may be empty.")
    fault: str = Field(examples=["job"], description="job, machine, config or unknown.")
    errors: list[dict[str, str]] | None = Field(None, description="Parts that are wrong: `pointer`, `detail`.")


#: What any request can be answered with.
_ALWAYS: Final = (400, 401, 403, 405, 408, 421, 422, 431, 500, 503)


#: What an answer that is no error says.
_NO_ERROR: Final = {206: "The parts that `Range` names.", 304: "It is what the client has; there is no body."}


def may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the errors of a route: `statuses`, and those that every route has."""
    return described({*_ALWAYS, *statuses}, MEDIA_TYPE, {"$ref": "#/components/schemas/Problem"})


def described(statuses: Iterable[int], kind: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the description of answers. `kind`, `schema`: of the body of those that are errors."""
    error = {"description": "See `code`.", "content": {kind: {"schema": schema}}}
    return {one: {"description": _NO_ERROR[one]} if one in _NO_ERROR else error for one in sorted(statuses)}


def to_root(request: Request) -> str:
    """Return the way from the path of a request to the server's root, such as `../`, which holds behind any proxy."""
    path = str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1) or "./"


def with_links(status: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Return a status with its id under the name that clients of the older system know, with links, and in words of this door.

    Args:
        root: as `to_root`.
    """
    job = f"{root}jobs/{status['job']}"
    links = {"self": job, "events": f"{job}/events"}
    if status["state"] not in FINISHED:
        links["cancel"] = job
    if status["state"] == "done" and status.get("outputs", True):
        links["result"] = f"{job}/result"
    if status.get("kind") == "batch" or "batch" in status:
        batch = f"{root}batches/{status['job']}"
        links |= {"rows": f"{batch}/rows", "report": f"{batch}/report"}
    return {**with_voice_list(status), "job_id": status["job"], "links": links}


def wait_wanted(request: Request, wait: float | None) -> float:
    """Return how long a client wants to wait for the job, s, by `?wait=` or `Prefer: wait=`; at most `MAX_WAIT_S`."""
    found = _PREFER_WAIT.search(request.headers.get("prefer", ""))
    return min(MAX_WAIT_S, wait if wait is not None else float(found[1]) if found else 0.0)


class JsonAnswer(JSONResponse):
    """An answer in JSON that can be sent whatever is in it: people may write anything into the status files of the outbox, also
    what JSON cannot hold.
    """

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return super().render(content)
        except (ValueError, RecursionError):
            return super().render(as_sent(content))


def as_sent(value: Any, levels: int = MOST_LEVELS) -> Any:
    """Return a value with null for numbers that are none, and `?` for halves of characters, which JSON cannot hold, and with null
    for what lies below so many levels of nesting.
    """
    if isinstance(value, Mapping):
        return {as_sent(key): as_sent(one, levels - 1) for key, one in value.items()} if levels else None
    if isinstance(value, list | tuple):
        return [as_sent(one, levels - 1) for one in value] if levels else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cached(request: Request, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that a client may have already: 304 where its ETag is the present one."""
    etag = etag_of(value)
    told = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    if is_known(request, etag):
        return Response(status_code=304, headers=told)
    return JsonAnswer(value, headers=told)


def is_known(request: Request, etag: str) -> bool:
    """Return whether the client says that it has the content of an ETag."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in given.split(","))


def etag_of(value: Any) -> str:
    """Return an ETag that changes with a JSON value."""
    data = json.dumps(value, sort_keys=True, default=str).encode()
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


#: Latest time that is asked for, seconds since the epoch: the end of the year 9999.
_LAST_S: Final = 253_402_300_799


def _seconds(value: object) -> object:
    """Return what a time says in seconds since the epoch; anything else as it is, for pydantic to read or refuse."""
    if not isinstance(value, str) or not _DATE.match(value):
        return value
    if "T" in value:
        value = _PLUS.sub("+", value)
    try:
        return min(max(0.0, read_iso(value)), float(_LAST_S))
    except (ValueError, OverflowError):
        return value


_DATE, _PLUS = re.compile(r"\d{4}-"), re.compile(r" (?=\d\d:?\d\d$)")  # a `+` in a query that nobody encoded is a space
Since = Annotated[
    float | None,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": _LAST_S}, {"type": "string", "format": "date-time"}]}
    ),
    Query(
        ge=0,
        le=_LAST_S,
        allow_inf_nan=False,
        description="Accepted since then: a time as in answers, or seconds since the epoch.",
    ),
]
