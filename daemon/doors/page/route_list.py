"""The list of jobs, and what is done with several at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door, TheDoor
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.page.job_rows import LOOKS, TABS, job_page, neighbours, new_priority
from daemon.doors.page.live import stream
from daemon.doors.page.pages import back, page, page_router, render
from daemon.doors.page.service_state import service_state
from daemon.doors.page.signed_in import Looking, form_of
from daemon.errors import AvatarError
from daemon.history.database import HistoryError

router = page_router()
_MOVES: Final = ("first", "up", "down", "last")
_DONE: Final = {
    "cancel": "cancelled",
    "hold": "held",
    "release": "released",
    "retry": "started again",
    "first": "put first",
    "up": "moved up",
    "down": "moved down",
    "last": "put last",
}
Tab = Annotated[str, Query(pattern=f"^({'|'.join((*TABS, LOOKS))})$")]
_SEARCH_CHARS: Final = 400
Search = Annotated[str, Query(max_length=_SEARCH_CHARS)]
After = Annotated[int | None, Query(ge=0, le=2**62)]
Mark = Literal["", "all"]


@router.get("/jobs")
def jobs_page(
    request: Request,
    door: TheDoor,
    caller: Looking,
    tab: Tab = "all",
    q: Search = "",
    after: After = None,
    mark: Mark = "",
) -> Response:
    """Show the list. `mark=all`: with all that can be changed marked."""
    return page(request, "jobs.html", **_values(door, caller, tab, q, after), marked=mark == "all")


@router.get("/jobs/live")
def jobs_live(
    request: Request, door: TheDoor, caller: Looking, tab: Tab = "all", q: Search = "", after: After = None
) -> Response:
    """Keep the list up to date."""

    def fragment() -> str:
        return render(request, "jobs_live.html", at="./", **_values(door, caller, tab, q, after), marked=False)

    return stream(fragment, lambda: changing(door.jobs))


def changing(jobs: Jobs) -> Iterable[Path]:
    """Return what changes when jobs do."""
    paths = jobs.paths
    yield from (paths.inbox, paths.outbox, paths.history / "jobs.db", paths.history / "jobs.db-wal")
    yield from (paths.spool / "state.json", paths.spool / "paused.json")


def _values(door: Door, caller: Caller, tab: str, search: str, after: int | None) -> dict[str, Any]:
    try:
        found = job_page(door.jobs, caller, tab, search, after)
    except HistoryError:
        found = None  # it is being made
    query = {"tab": tab, **({"q": search} if search else {})}
    return {
        "tabs": TABS, "tab": tab, "label": TABS[tab][0] if tab in TABS else "Checks and voice samples",
        "search": search, "search_chars": _SEARCH_CHARS,
        "found": found, "after": after, "service": service_state(door),
        "query": urlencode(query), "page_query": urlencode({**query, **({"after": after} if after is not None else {})}),
        "older": None if found is None or found.after is None else urlencode({**query, "after": found.after}),
    }  # fmt: skip


@router.post("/jobs/do")
async def do_several(request: Request, door: TheDoor, caller: Looking) -> Response:
    """Do the same with each job that is marked, or something with one (`one`: `operation:job`)."""
    form = await form_of(request)
    place = "jobs?" + urlencode({"tab": _tab(form.get("tab", [""])[-1]), "q": form.get("q", [""])[-1][:_SEARCH_CHARS]})
    one = form.get("one", [""])[-1]
    op, _, job = one.partition(":")
    marked = [job] if one else form.get("job", [])
    op = op if one else form.get("op", [""])[-1]
    if not marked:
        return back(request, place, "No job is marked. Mark some at the left, and try again.")
    done, wrong = 0, []
    for job in marked:
        try:
            await run_in_threadpool(act, door, caller, op, job)
            done += 1
        except AvatarError as exc:
            wrong.append(f"{exc.message} {exc.hint}".strip())
    said = f"{done} {'job is' if done == 1 else 'jobs are'} {_DONE.get(op, 'changed')}." if done else ""
    more = f" {len(wrong)} could not be changed: {wrong[0]}" if wrong else ""
    return back(request, place, (said + more).strip())


def act(door: Door, caller: Caller, op: str, job: str) -> str:
    """Do something with a job; returns the answer, a sentence.

    Raises:
        AvatarError: the daemon refused, or there is no such job.
    """
    if op not in _MOVES:
        return door.jobs.ask(op if op in _DONE else "unknown", job, caller)
    waiting = dict(neighbours(door.jobs, caller))
    present = waiting.pop(job, 0)
    wanted = new_priority(op, present, list(waiting.values()))
    highest = caller.limits.priority
    return door.jobs.ask("priority", job, caller, priority=wanted if highest is None else min(wanted, highest))


def _tab(wanted: str) -> str:
    return wanted if wanted in (*TABS, LOOKS) else "all"
