"""The routes of jobs: hand in, list, follow, fetch, change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from daemon.doors.expected_times import expected_times
from daemon.doors.http.answers import Calling, Door, JsonAnswer, Since, TheDoor, cached, may_answer, to_root, with_links
from daemon.doors.http.body import MULTIPART, chunks, content_length, media_type, received, take_all_uploads
from daemon.doors.http.callers import Caller
from daemon.doors.http.description.answers import Checked, ExpectedTimes, JobCounts, JobList, Upload
from daemon.doors.http.description.job_schemas import JobStatus
from daemon.doors.http.events import follow, job_events
from daemon.doors.http.handing_in import KEY_PATTERN, check_given_name, make_job
from daemon.doors.http.incoming import FileWriter, check_room, own_folder, plain_name
from daemon.doors.http.jobs.change import Change
from daemon.doors.http.jobs.row_uploads import row_files
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.limits import Amount
from daemon.doors.http.problems import RequestError, status_of, told_of
from daemon.doors.http.results import answer_result
from daemon.doors.submission import NameTakenError
from daemon.doors.voice_list import name_voice_list
from daemon.errors import AvatarError, JobError
from daemon.history.places import LAST
from daemon.history.query import Query as JobQuery
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.outbox.status_file import NEXT

router = APIRouter(tags=["jobs"])

StateWord = Literal[
    "waiting", "queued", "running", "held", "done", "failed", "cancelled", "pending", "processing", "completed"
]
#: Largest page of a list, and its usual size.
MOST, USUAL = 200, 50
Wait = Annotated[
    float | None,
    Query(ge=0, le=60, allow_inf_nan=False, description="Wait so many seconds for the end, as `Prefer: wait=N` does."),
]
#: What the value of a text may be: without quotes YAML holds 2026 and no for a number and a boolean, and they are read as texts.
_SCALAR = ["string", "number", "boolean", "null"]
_TEXT = {"kind": "speech", "text": "Good morning."}
JSON: Final = "application/json"
#: Describes a body of bytes.
BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


def body(kind: str | None, example: dict[str, Any], *, kept: bool = True, required: bool = True) -> dict[str, Any]:
    """Return what describes the body of a route that makes a job.

    Args:
        kind: the kind that the route makes; None: any.
        example: of a manifest.
        kept: a job is made, so that an idempotency key counts.
        required: there must be a body.
    """
    kinds = list(KINDS)
    properties: dict[str, Any] = {"kind": {"const": kind} if kind else {"type": "string", "enum": kinds}}

    def manifest(name: list[str]) -> dict[str, Any]:
        return {
            "type": "object",
            "description": "The keys of a manifest (docs/manifest.md), and `name`, what the results are to be called. A key "
            "whose value is null is left out, and a text may be written as a number.",
            "properties": {**properties, "name": {"type": name}, "text": {"type": _SCALAR}},
            "additionalProperties": True,
        }

    files = {key: {"type": "string", "format": "binary"} for key in COMPANIONS}
    parts = {
        "type": "object",
        "description": "Files by the key that names them, and other keys as fields; or all of these in `manifest`.",
        "properties": {"manifest": {"type": "string", "description": "The manifest, as YAML or JSON."}, **files},
        "additionalProperties": True,
    }
    return {
        "requestBody": {
            "required": required,
            "content": {
                "application/json": {"schema": manifest(["string", "null"]), "example": example},
                "application/yaml": {"schema": manifest(_SCALAR), "example": example},
                "multipart/form-data": {"schema": parts},
            },
        },
        "parameters": []
        if not kept
        else [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key with the same body is the same job.",
                "schema": {"type": "string", "pattern": KEY_PATTERN},
            },
        ],
    }


#: Types of results. Programs that are made of the description read all as they read the first one: as bytes.
RESULT_TYPES = (
    "application/octet-stream", "application/json", "application/x-subrip", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg",
    "audio/wav", "image/jpeg", "image/png", "text/csv", "text/vtt", "video/mp4", "video/quicktime", "video/webm",
)  # fmt: skip
MAKES_JOB: dict[int | str, dict[str, Any]] = {
    **may_answer(404, 409, 413, 415, 429, 507),
    200: {"description": "The job ended while the client waited: its status.", "model": JobStatus},
    202: {"model": JobStatus},
}
CHANGES_JOB: dict[int | str, dict[str, Any]] = {**may_answer(404, 409, 415, 507), 202: {"model": JobStatus}}
STARTS_JOB: dict[int | str, dict[str, Any]] = {**CHANGES_JOB, **may_answer(429)}


def kept(door: Door) -> KeptUploads:
    """Return the uploads that are kept."""
    return KeptUploads(door.jobs.paths.inbox)


@router.post("/jobs", status_code=202, summary="Hand in a job", openapi_extra=body(None, _TEXT), responses=MAKES_JOB)
async def post_job(request: Request, door: TheDoor, caller: Calling, wait: Wait = None) -> Response:
    """Hand in a job. With the answer it is on the disk, and is made once, also while the daemon is down."""
    return await make_job(request, door, caller, kept(door), wait=wait)


@router.get("/jobs", summary="List jobs, the newest first", responses={**may_answer(304), 200: {"model": JobList}})
def list_jobs(
    request: Request,
    door: TheDoor,
    caller: Calling,
    state: Annotated[list[StateWord], Query(description="Only these states.")] = [],  # noqa: B006 (FastAPI copies it)
    kind: Annotated[list[str], Query(description="Only these kinds.")] = [],  # noqa: B006
    tag: Annotated[list[str], Query(description="Only with all of these tags.")] = [],  # noqa: B006
    by: Annotated[str | None, Query(description="Only of this owner; others than oneself only for an admin.")] = None,
    q: Annotated[str, Query(max_length=400, description="Words of name, text, file and tags.")] = "",
    since: Since = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = USUAL,
    after: Annotated[int | None, Query(ge=0, le=LAST, description="`next` of the page before.")] = None,
) -> Response:
    """List jobs, a page at a time. `next` and the header `Link` lead to the page behind. The page's own looks have a tag."""
    owners = [by] if by is not None else [] if caller.sees_all else [caller.name]
    if not caller.sees_all and by not in (None, caller.name):
        raise RequestError("not-allowed", "Other people's jobs are not shown to this key.", "Leave `by` out.")
    query = JobQuery(search=q, state=state, kind=kind, tag=tag, by=owners, since=since)
    found, cursor = door.jobs.find(query.without_looks, caller, limit=limit, after=after)
    root = to_root(request)
    content: JobList = {"jobs": [with_links(one, root) if one["job"] else one for one in found], "next": cursor}
    headers = {}
    if cursor is not None:
        headers["Link"] = f'<?{request.url.include_query_params(after=cursor).query}>; rel="next"'
    return cached(request, content, headers)


@router.get("/jobs/stats", summary="Count jobs", responses={**may_answer(304), 200: {"model": JobCounts}})
def job_stats(request: Request, door: TheDoor, caller: Calling) -> Response:
    """Count jobs by state, kind, owner and error. Only an admin sees everybody's."""
    return cached(request, door.jobs.stats("" if caller.sees_all else caller.name))


@router.get("/jobs/{job}", summary="The status of a job", responses={**may_answer(304, 404), 200: {"model": JobStatus}})
def get_job(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Return the status (docs/status.md) of one job. Its ETag changes with it: `If-None-Match` makes asking again cheap."""
    return cached(request, with_links(door.jobs.status(job, caller), to_root(request)))


@router.delete("/jobs/{job}", status_code=202, summary="Cancel a job", responses=CHANGES_JOB)
def cancel_job(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Cancel a job, waiting or running."""
    return ask_for_change(request, door, caller, job, "cancel")


@router.patch("/jobs/{job}", status_code=202, summary="Hold, release or move a job", responses=CHANGES_JOB)
def change_job(
    request: Request,
    job: str,
    door: TheDoor,
    caller: Calling,
    change: Annotated[Change, Body(examples=[{"held": True, "reason": "The text changes."}, {"priority": 10}])],
) -> Response:
    """Hold a job back, let it go on, give it another priority, or two of these: both, or neither where one cannot be."""
    highest, given = caller.limits.priority, change.model_fields_set
    if not given & {"held", "priority"}:
        raise RequestError("query-invalid", "The body changes nothing.", "Give `held` or `priority`.")
    if "priority" in given and highest is not None and change.priority > highest:
        raise RequestError("not-allowed", f"The highest priority of this key is {highest}.", "Ask for a lower one.")
    op, wanted = change.as_request()
    return ask_for_change(request, door, caller, job, op, **wanted)


@router.post("/jobs/{job}/retry", status_code=202, summary="Start a failed job again", responses=STARTS_JOB)
def retry_job(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Start a failed or cancelled job again, as it was."""
    return ask_for_change(request, door, caller, job, "retry")


@router.post(
    "/jobs/{job}/rerun",
    status_code=202,
    summary="Make a job again, changed",
    openapi_extra=body(None, {"text": "Good evening."}, required=False),
    responses=MAKES_JOB,
)
async def rerun_job(request: Request, job: str, door: TheDoor, caller: Calling, wait: Wait = None) -> Response:
    """Make a job again: a new one with the same files and seeds, but for what the body says."""
    before = await run_in_threadpool(door.jobs.status, job, caller)
    fixed, again = {"base": job}, str(before["name"])
    return await make_job(request, door, caller, kept(door), fixed, wait, again=again, may_be_empty=True)


@router.get(
    "/jobs/{job}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={**may_answer(404), 200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def follow_job(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Follow a job by server-sent events: its whole status first and at each change, then `end`."""
    await run_in_threadpool(door.jobs.status, job, caller)
    root = to_root(request)

    def look() -> dict[str, Any]:
        try:
            return with_links(door.status(job, caller), root)
        except (AvatarError, OSError) as exc:
            raise told_of(exc, request.url.path) from exc

    events = job_events(look, request.headers.get("last-event-id", "")[:64])
    return follow(request, events)


_RESULT: dict[int | str, dict[str, Any]] = {
    **may_answer(206, 304, 404, 410, 416),
    200: {"content": {one: {} if one == JSON else BINARY for one in RESULT_TYPES}, "description": "The file."},
}


@router.get("/jobs/{job}/result", summary="The result of a job", response_class=Response, responses=_RESULT)
def get_result(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Return the main result, whole or in ranges; its ETag is its SHA-256."""
    return answer_result(request, door, caller, job)


@router.get("/jobs/{job}/result/{file}", summary="One of the results", response_class=Response, responses=_RESULT)
def get_result_file(request: Request, job: str, file: str, door: TheDoor, caller: Calling) -> Response:
    """Return one of the results by its name, such as the captions."""
    return answer_result(request, door, caller, job, file)


@router.post(
    "/validate",
    summary="Check a job without handing it in",
    openapi_extra=body(None, _TEXT, kept=False),
    responses={**may_answer(404, 413, 415, 429, 507), 200: {"model": Checked}},
)
async def validate(request: Request, door: TheDoor, caller: Calling) -> Response:
    """Check what POST /jobs would check, and say how long it would take. Nothing is kept; files count as uploads."""
    from stages.tts.checks import text_warnings  # needs neither a model nor the packages of one

    if caller.role == "read" and media_type(request) == MULTIPART:
        raise RequestError(
            "not-allowed",
            f"The key of {caller.name} may only read, and sends no files.",
            "Send the manifest as JSON or YAML, or use a key whose role is submit or admin.",
        )
    await run_in_threadpool(door.ledger.check, caller, content_length(request))
    async with received(request, door.jobs.paths.inbox, door.bounds, door.uploads) as (manifest, got):
        sent = await run_in_threadpool(lambda: sum(path.stat().st_size for path in got.files.values()))
        await run_in_threadpool(door.ledger.add, caller, sent)
        try:
            if (name := manifest.pop("name", None)) is not None:
                check_given_name(name)
            files, found, amount = await run_in_threadpool(_checked, door, caller, manifest, got.files)
            await run_in_threadpool(door.jobs.check_name_free, name, found.output)
            await run_in_threadpool(door.jobs.check_amounts, amount, caller)
        except (JobError, NameTakenError) as exc:
            return _wrong(exc)
        except RequestError as exc:
            if status_of(exc) != 422:
                raise
            return _wrong(exc)
        warnings = [*found.warnings, *await run_in_threadpool(text_warnings, found, door.settings)]
        told: Checked = {
            "ok": True,
            "errors": [],
            "warnings": [name_voice_list(one) for one in warnings],
            "manifest": found.model_dump(mode="json"),
        }
        if found.kind_of_job.makes_jobs:
            told["rows"] = amount.jobs
        elif found.base is None:
            told["expected"] = cast(ExpectedTimes, await run_in_threadpool(expected_times, found, files, door.settings))
        return JSONResponse(told)


def _wrong(error: AvatarError) -> JSONResponse:
    message, hint = name_voice_list(error.message), name_voice_list(error.hint)
    told: Checked = {"ok": False, "errors": [{"code": error.code, "message": message, "hint": hint}]}
    return JSONResponse(told)


def _checked(
    door: Door, caller: Caller, manifest: dict[str, Any], sent: Mapping[str, Path]
) -> tuple[dict[str, Path], Manifest, Amount]:
    """Return the files of a request, uploads included, the job that it describes, and what that takes."""

    def find(upload: str) -> Path:
        return kept(door).find(upload, caller)

    files = {**sent, **take_all_uploads(manifest, find)}
    with row_files(door.jobs.paths.inbox, files, find) as (found, of_rows):
        _, job, amount, _ = door.jobs.checked(manifest, found, caller, of_rows)
    return files, job, amount


@router.post(
    "/uploads",
    status_code=201,
    summary="Upload a file before its job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": BINARY},
        }
    },
    responses={**may_answer(413, 415, 429, 507), 201: {"model": Upload}},
)
async def post_upload(
    request: Request,
    door: TheDoor,
    caller: Calling,
    filename: Annotated[str, Query(max_length=255, description="What the file is called; its ending counts.")] = "",
) -> Response:
    """Upload one file as the whole body. A job names it as `upload:ID` within a day."""
    caller.check_may_submit()
    inbox, bounds = door.jobs.paths.inbox, door.bounds
    with door.uploads.one():
        await run_in_threadpool(check_room, inbox, content_length(request), bounds)
        await run_in_threadpool(door.ledger.check, caller, content_length(request))
        with own_folder(inbox) as folder:
            writer = FileWriter(folder / "0" / plain_name(filename.encode("utf-8", "replace"), ""), "", bounds, inbox)
            try:
                async for chunk in chunks(request):
                    await run_in_threadpool(writer.write, chunk)
                digest = await run_in_threadpool(writer.finish)
                door.callers.check_still(caller)  # the body may have taken hours
                await run_in_threadpool(door.ledger.add, caller, writer.bytes)
            finally:
                writer.close()
            told = await run_in_threadpool(kept(door).keep, writer.path, digest, caller)
    return JSONResponse(told, 201, {"Location": f"uploads/{told['id']}", "Cache-Control": "no-store"})


@router.delete("/uploads/{upload}", status_code=204, summary="Remove an upload", responses=may_answer(404, 415))
def delete_upload(upload: str, door: TheDoor, caller: Calling) -> Response:
    """Remove an upload before its day is over."""
    caller.check_may_submit()
    kept(door).remove(upload, caller)
    return Response(status_code=204)


def ask_for_change(request: Request, door: Door, caller: Caller, job: str, op: str, **wanted: Any) -> JSONResponse:
    """Ask the daemon for a change of a job, and answer with what it said and the status. Errors as `Jobs.ask`."""
    caller.check_may_submit()
    before = door.jobs.status(job, caller)
    message = door.jobs.ask(op, job, caller, **wanted)
    try:
        status = door.jobs.status(job, caller)
    except AvatarError:  # a manifest that was withdrawn before it became a job
        status = {**before, "state": "cancelled", "next": NEXT["cancelled"]}
    content = {"message": message, **with_links(status, to_root(request))}
    return JsonAnswer(content, 202, {"Cache-Control": "no-store"})
