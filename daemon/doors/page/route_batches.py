"""The pages of batches: which there are, how far each is, which rows failed, and all results as one ZIP."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.batches.report_rows import (
    FAILED,
    actions_of,
    batch_status,
    counts_of,
    open_report,
    report_of,
    rows_of,
    words_of,
)
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError
from daemon.doors.http.results import OpenFileResponse
from daemon.doors.page.live import stream
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.route_list import changing
from daemon.doors.page.saved.batch_zip import files_of_batch
from daemon.doors.page.saved.zip_stream import SAVED, zip_answer
from daemon.doors.page.service_state import service_state
from daemon.doors.page.signed_in import Looking, form_of
from daemon.history.places import LAST
from daemon.history.query import Query as JobQuery

router = page_router()
#: What may be asked for a whole batch, as it is said in the address of the page.
_OPS: Final = ("cancel", "hold", "release", "retry")
_BATCHES: Final = 30
Show = Annotated[str, Query(pattern="^(all|failed)$")]
After = Annotated[int, Query(ge=0, le=10**6)]
Older = Annotated[int | None, Query(ge=0, le=LAST)]


@router.get("/batches")
def batches_page(request: Request, door: TheDoor, caller: Looking, after: Older = None) -> Response:
    """Show the batches, the newest first."""
    return page(request, "batches.html", **_batches(door, caller, after))


@router.get("/batches/live")
def batches_live(request: Request, door: TheDoor, caller: Looking, after: Older = None) -> Response:
    """Keep the list of batches up to date."""

    def fragment() -> str:
        return render(request, "batches_live.html", at="./", **_batches(door, caller, after))

    return stream(request, fragment, lambda: changing(door.jobs))


def _batches(door: Door, caller: Caller, after: int | None) -> dict[str, Any]:
    query = JobQuery(kind=["batch"], by=[] if caller.sees_all else [caller.name])
    found, older = door.jobs.find(query, caller, limit=_BATCHES, after=after)
    batches = [
        ({"finished": None, **one}, counts_of(one), words_of(one)) for one in map(door.jobs.full, found) if one["job"]
    ]
    return {"batches": batches, "older": older, "after": after, "service": service_state(door)}


@router.get("/batches/{job}")
def batch_page(
    request: Request, job: str, door: TheDoor, caller: Looking, show: Show = "all", after: After = 0
) -> Response:
    """Show one batch."""
    return page(request, "batch.html", **_values(door, caller, job, show, after))


@router.get("/batches/{job}/live")
def batch_live(
    request: Request, job: str, door: TheDoor, caller: Looking, show: Show = "all", after: After = 0
) -> Response:
    """Keep the page of a batch up to date."""
    status = batch_status(door.jobs, job, caller)

    def fragment() -> str:
        return render(request, "batch_live.html", at="../", **_values(door, caller, job, show, after))

    root = door.jobs.outbox.root
    own = (root / f"{status['name']}.json", root / f"{status['name']}.report.csv")
    return stream(request, fragment, lambda: (*changing(door.jobs), *own))


def _values(door: Door, caller: Caller, job: str, show: str, after: int) -> dict[str, Any]:
    status = batch_status(door.jobs, job, caller)
    rows, behind = rows_of(door.jobs.paths.outbox, status, states=FAILED if show == "failed" else (), after=after)
    query = {"show": show}
    return {
        "batch": {"warnings": [], "error": None, "next": "", "eta_s": None, **status},
        "counts": counts_of(status),
        "words": words_of(status), "actions": actions_of(status), "rows": rows, "show": show,
        "report": report_of(status), "service": service_state(door), "failed_states": FAILED, "first": after == 0,
        "more": None if behind is None else urlencode({**query, "after": behind}),
        "query": urlencode({**query, "after": after}),
    }  # fmt: skip


@router.post("/batches/{job}/do")
async def do_with_batch(request: Request, job: str, door: TheDoor, caller: Looking) -> Response:
    """Cancel, hold or release the rest of a batch, or start its failed rows again."""
    form = await form_of(request)
    op = form.get("op", [""])[-1]
    if op not in _OPS:
        raise RequestError("request-invalid", f"Nothing is called {op[:40]!r} here.", "Use the buttons of the page.")
    await run_in_threadpool(batch_status, door.jobs, job, caller)
    if op == "cancel" and form.get("sure", [""])[-1] != "yes":
        return page(request, "batch_cancel.html", batch=await run_in_threadpool(batch_status, door.jobs, job, caller))
    said = await run_in_threadpool(door.jobs.ask, op, job, caller)
    return back(request, f"batches/{job}", said)


@router.get("/batches/{job}/report")
def batch_report(job: str, door: TheDoor, caller: Looking) -> Response:
    """Give out the report, to be saved."""
    status = batch_status(door.jobs, job, caller)
    report, fd = open_report(door.jobs.paths.outbox, status)
    return OpenFileResponse(
        fd, headers=SAVED, media_type="text/csv; charset=utf-8", filename=os.path.basename(report)
    )  # fmt: skip


@router.get("/batches/{job}/zip")
def batch_zip(job: str, door: TheDoor, caller: Looking) -> Response:
    """Give out all results as one ZIP, while it is made."""
    status = batch_status(door.jobs, job, caller)
    if not counts_of(status).done:
        raise RequestError("not-ready", f"No row of {status['name']} is done.", "Come again when one is.")
    return zip_answer(files_of_batch(door.jobs, caller, status), f"{os.path.basename(status['name'])}.zip")
