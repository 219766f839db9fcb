"""The routes of batches: hand in, list, see how far one is, and start its failed rows again."""

from __future__ import annotations

import os
from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from daemon.doors.http.answers import Calling, TheDoor, cached, may_answer, to_root, with_links
from daemon.doors.http.batches.report_rows import BatchRow, batch_status, open_report, rows_of
from daemon.doors.http.description.answers import BatchList, BatchRows
from daemon.doors.http.description.answers import BatchRow as ToldRow
from daemon.doors.http.description.job_schemas import JobStatus
from daemon.doors.http.handing_in import make_job
from daemon.doors.http.results import OpenFileResponse
from daemon.doors.http.route_jobs import BINARY, MAKES_JOB, MOST, STARTS_JOB, USUAL, Wait, ask_for_change, body, kept
from daemon.history.places import LAST
from daemon.history.query import Query as JobQuery

router = APIRouter(tags=["batches"])
RowState = Literal["done", "failed", "cancelled", "waiting", "wrong", "not taken"]
#: What is told of a row; what is empty is left out.
_TOLD: Final = ("state", "job", "file", "seconds", "code", "error", "sha256")
_TEMPLATE = {"template": {"kind": "speech", "text": "Good morning, {{name}}."}}


@router.post(
    "/batches",
    status_code=202,
    summary="Hand in a batch",
    openapi_extra=body("batch", _TEMPLATE),
    responses=MAKES_JOB,
)
async def post_batch(request: Request, door: TheDoor, caller: Calling, wait: Wait = None) -> Response:
    """Hand in a job for each row of the table in the part `rows`: `template` with its cells, or its columns as keys."""
    return await make_job(request, door, caller, kept(door), {"kind": "batch"}, wait)


@router.get(
    "/batches", summary="List batches, the newest first", responses={**may_answer(304), 200: {"model": BatchList}}
)
def list_batches(
    request: Request,
    door: TheDoor,
    caller: Calling,
    limit: Annotated[int, Query(ge=1, le=MOST)] = USUAL,
    after: Annotated[int | None, Query(ge=0, le=LAST, description="`next` of the page before.")] = None,
) -> Response:
    """List batches, a page at a time, each with how far it is. `next` and the header `Link` lead to the page behind."""
    query = JobQuery(kind=["batch"], by=[] if caller.sees_all else [caller.name])
    found, cursor = door.jobs.find(query, caller, limit=limit, after=after)
    root = to_root(request)
    told = BatchList(batches=[with_links(door.jobs.full(one), root) for one in found if one["job"]], next=cursor)
    headers = {}
    if cursor is not None:
        headers["Link"] = f'<?{request.url.include_query_params(after=cursor).query}>; rel="next"'
    return cached(request, told, headers)


@router.get(
    "/batches/{job}", summary="How far a batch is", responses={**may_answer(304, 404), 200: {"model": JobStatus}}
)
def get_batch(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Return the status of a batch: `batch` counts its rows, and `eta_s` says when it ends."""
    return cached(request, with_links(batch_status(door.jobs, job, caller), to_root(request)))


@router.get(
    "/batches/{job}/rows", summary="The rows of a batch", responses={**may_answer(304, 404), 200: {"model": BatchRows}}
)
def get_rows(
    request: Request,
    job: str,
    door: TheDoor,
    caller: Calling,
    state: Annotated[list[RowState], Query(description="Only these states.")] = [],  # noqa: B006 (FastAPI copies it)
    limit: Annotated[int, Query(ge=1, le=MOST)] = USUAL,
    after: Annotated[int, Query(ge=0, le=10**6, description="`next` of the page before.")] = 0,
) -> Response:
    """Say what became of each row, by the report. Before there is one, no row is told."""
    status = batch_status(door.jobs, job, caller)
    rows, behind = rows_of(door.jobs.paths.outbox, status, states=state, after=after, limit=limit)
    headers = {}
    if behind is not None:
        headers["Link"] = f'<?{request.url.include_query_params(after=behind).query}>; rel="next"'
    told = BatchRows(rows=[_told(row, to_root(request)) for row in rows], next=behind)
    return cached(request, told, headers)


@router.get(
    "/batches/{job}/report",
    summary="The report of a batch",
    response_class=Response,
    responses={
        **may_answer(206, 304, 404, 416),
        200: {
            "content": {"text/csv": BINARY},
            "description": "The table with a result beside each row.",
        },
    },
)
def get_report(job: str, door: TheDoor, caller: Calling) -> Response:
    """Return the table as it came, and beside each row what became of it, as CSV."""
    path, fd = open_report(door.jobs.paths.outbox, batch_status(door.jobs, job, caller))
    headers = {"Cache-Control": "private, no-cache"}
    return OpenFileResponse(fd, headers=headers, media_type="text/csv; charset=utf-8", filename=os.path.basename(path))


@router.post(
    "/batches/{job}/retry-failed",
    status_code=202,
    summary="Start the failed rows of a batch again",
    responses=STARTS_JOB,
)
def retry_failed(request: Request, job: str, door: TheDoor, caller: Calling) -> Response:
    """Start the failed and cancelled rows of a batch again, once it has ended."""
    batch_status(door.jobs, job, caller)
    return ask_for_change(request, door, caller, job, "retry")


def _told(row: BatchRow, root: str) -> ToldRow:
    told = {key: value for key in _TOLD if (value := getattr(row, key)) not in ("", None)}
    links = {"links": {"job": f"{root}jobs/{row.job}"}} if row.job else {}
    return cast(ToldRow, {"row": row.number, **told, **links})
