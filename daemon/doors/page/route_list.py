"""The list of jobs, and what is done with several at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.page.job_rows import LOOKS, SEVERAL, SORTED_BY, TABS, JobPage, job_page, neighbours, new_priority
from daemon.doors.page.live import stream
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.saved.marked_jobs import files_of_jobs, table_of_jobs
from daemon.doors.page.saved.zip_stream import SAVED, disposition, zip_answer
from daemon.doors.page.service_state import service_state
from daemon.doors.page.signed_in import Looking, form_of
from daemon.errors import AvatarError
from daemon.history.database import HistoryError
from daemon.history.places import LAST

router = page_router()
#: What moves a job in the queue.
MOVES: Final = ("first", "up", "down", "last")
#: What a job is when something was done with it: operation → words.
DONE: Final = {
    "cancel": "cancelled",
    "hold": "held",
    "release": "released",
    "retry": "started again",
    "first": "put first",
    "up": "moved up",
    "down": "moved down",
    "last": "put last",
}
_SEARCH_CHARS: Final = 400
Sort = Literal["", "name", "-name", "state", "-state", "time", "-time"]
#: What is saved of marked jobs: operation → its files as one ZIP, or a table of them.
_SAVE_FILES, _SAVE_TABLE = "zip", "csv"


class Place(BaseModel):
    """Which part of the list is shown: its tab, the words searched for, the job that it comes after, and its order."""

    tab: str = Field("all", pattern=f"^({'|'.join((*TABS, LOOKS))})$")
    q: str = Field("", max_length=_SEARCH_CHARS)
    after: int | None = Field(None, ge=0, le=LAST)
    sort: Sort = ""


class MarkedPlace(Place):
    """The same, with all of its jobs marked where `mark` says so."""

    mark: Literal["", "all"] = ""


@router.get("/jobs")
def jobs_page(request: Request, door: TheDoor, caller: Looking, place: Annotated[MarkedPlace, Query()]) -> Response:
    """Show the list."""
    return page(request, "jobs.html", **_values(door, caller, place), marked=place.mark == "all")


@router.get("/jobs/live")
def jobs_live(request: Request, door: TheDoor, caller: Looking, place: Annotated[Place, Query()]) -> Response:
    """Keep the list up to date."""

    def fragment() -> str:
        return render(request, "jobs_live.html", at="./", **_values(door, caller, place), marked=False)

    return stream(request, fragment, lambda: changing(door.jobs))


def changing(jobs: Jobs) -> Iterable[Path]:
    """Return what changes when jobs do."""
    paths = jobs.paths
    yield from (paths.inbox, paths.outbox, paths.history / "jobs.db", paths.history / "jobs.db-wal")
    yield from (paths.spool / "state.json", paths.spool / "paused.json")


def _values(door: Door, caller: Caller, place: Place) -> dict[str, Any]:
    tab, search, after, sort = place.tab, place.q, place.after, place.sort
    try:
        found = job_page(door.jobs, caller, tab, search, after, sort)
    except HistoryError:
        found = None  # it is being made
    query = _query(tab, search, sort)
    return {
        "tabs": TABS, "tab": tab, "label": TABS[tab][0] if tab in TABS else "Checks and voice samples",
        "search": search, "search_chars": _SEARCH_CHARS, "sort": sort,
        "columns": [_column(name, sort, _query(tab, search)) for name in SORTED_BY],
        "several": _several(found), "found": found, "after": after, "service": service_state(door),
        "query": query, "page_query": query if after is None else f"{query}&after={after}",
        "older": None if found is None or found.after is None else f"{query}&after={found.after}",
    }  # fmt: skip


def _several(found: JobPage | None) -> list[tuple[str, str]]:
    """Return what can be done with several jobs at once, of all that can be done with one: operation and label."""
    offered = {op for row in found.rows for op in row.actions} if found is not None else set()
    return [(op, label) for op, label in SEVERAL.items() if op in offered]


def _query(tab: str, search: str, sort: str = "") -> str:
    return urlencode({"tab": tab, **({"q": search} if search else {}), **({"sort": sort} if sort else {})})


def _column(name: str, sort: str, query: str) -> dict[str, str]:
    """Return what the head of a column says: `name`, `label`, `sorted` (`ascending`, `descending` or empty), and the `query` of
    the list that its link sorts by it, or turns round.
    """
    label, falls_first = SORTED_BY[name]
    falls = not sort.startswith("-") if sort.lstrip("-") == name else falls_first
    now = "" if sort.lstrip("-") != name else "descending" if sort.startswith("-") else "ascending"
    return {"name": name, "label": label, "sorted": now, "query": f"{query}&sort={'-' * falls}{name}"}


@router.post("/jobs/do")
async def do_several(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Do the same with each job that is marked, or something with one (`one`: `operation:job`), or save those marked."""
    form = await form_of(request)
    place = f"jobs?{_place_of(form)}"
    one = form.get("one", [""])[-1]
    op, _, job = one.partition(":")
    marked = [job] if one else form.get("job", [])
    op = op if one else form.get("op", [""])[-1]
    if not marked:
        return back(request, place, "No job is marked. Mark some at the left, and try again.")
    if op == _SAVE_FILES:
        return zip_answer(files_of_jobs(door.jobs, caller, marked), "jobs.zip")
    if op == _SAVE_TABLE:
        table = await run_in_threadpool(table_of_jobs, door.jobs, caller, marked)
        headers = {**SAVED, "Content-Disposition": disposition("jobs.csv")}
        return Response(table.encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)
    done, wrong = 0, []
    for job in marked:
        try:
            await run_in_threadpool(act, door, caller, op, job)
            done += 1
        except AvatarError as exc:
            wrong.append(f"{exc.message} {exc.hint}".strip())
    said = f"{done} {'job is' if done == 1 else 'jobs are'} {DONE.get(op, 'changed')}." if done else ""
    more = f" {len(wrong)} could not be changed: {wrong[0]}" if wrong else ""
    return back(request, place, (said + more).strip())


def _place_of(form: dict[str, list[str]]) -> str:
    """Return the query of the list that a form was on; what is none is left out."""
    given = {name: form.get(name, [""])[-1] for name in ("tab", "q", "sort", "after")}
    tab = given["tab"] if given["tab"] in (*TABS, LOOKS) else "all"
    query = _query(tab, given["q"][:_SEARCH_CHARS], given["sort"] if given["sort"] in get_args(Sort) else "")
    return f"{query}&after={given['after']}" if re.fullmatch("[0-9]{1,19}", given["after"]) else query


def act(door: Door, caller: Caller, op: str, job: str) -> str:
    """Do something with a job; returns the answer, a sentence.

    Raises:
        AvatarError: the daemon refused, or there is no such job.
    """
    if op not in MOVES:
        return door.jobs.ask(op if op in DONE else "unknown", job, caller)
    waiting = dict(neighbours(door.jobs, caller))
    present = waiting.pop(job, 0)
    wanted = new_priority(op, present, list(waiting.values()))
    highest = caller.limits.priority
    return door.jobs.ask("priority", job, caller, priority=wanted if highest is None else min(wanted, highest))
