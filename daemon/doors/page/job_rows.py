"""The rows of the list of jobs: what they say, and what can be done with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.page import shown
from daemon.errors import JobError
from daemon.history.database import FILE, HistoryError
from daemon.history.history import History
from daemon.history.query import Query
from daemon.jobs.record import FINISHED
from daemon.outbox import looks

#: Tabs: name in the address → label, and the states that it shows.
TABS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "running": ("Running", ("running",)),
    "waiting": ("Waiting", ("waiting", "queued", "held")),
    "done": ("Done", ("done",)),
    "failed": ("Failed", ("failed", "cancelled")),
    "all": ("All", ()),
}
#: Shows the jobs by which the page checks pictures and lets voices be heard, which no other tab does.
LOOKS: Final = "checks"
#: Rows of a page.
ROWS: Final = 50
#: What can be done with several jobs at once: operation → label.
SEVERAL: Final = {
    "cancel": "Cancel", "hold": "Hold", "release": "Release", "first": "Next", "last": "Last", "retry": "Retry",
}  # fmt: skip
#: Columns by which the list can be sorted: name of the order → its label, and whether the first click has the highest first.
SORTED_BY: Final[dict[str, tuple[str, bool]]] = {
    "name": ("Name", False),
    "state": ("State", False),
    "time": ("Time", True),
}
#: Kinds of jobs that the form for a new one makes.
_OF_THE_FORM: Final = ("video", "speech", "batch")
_OPEN: Final = ("waiting", "queued", "held")


@dataclass(frozen=True)
class JobRow:
    """One job of a list.

    Attributes:
        id, name, kind, who, state: as its status says.
        words: the state in words.
        percent: finished part of a job that runs, 0 to 100; None of others.
        when: how long it will take, or when it ended, in words.
        thumb: name of the result that shows it; empty without one.
        why: why it failed, or what it waits for.
        again: whether the form for a new job can make it again.
        actions: what can be done: operation → label.
    """

    id: str
    name: str
    kind: str
    who: str
    state: str
    words: str
    percent: int | None
    when: str
    thumb: str
    why: str
    again: bool
    actions: Mapping[str, str]


def row_of(status: Mapping[str, Any]) -> JobRow:
    """Return the row of a job from its status."""
    state = str(status["state"])
    error = status.get("error")
    waits = "; ".join(str(one) for one in status.get("waiting_for") or ())
    left = status.get("eta_s")
    when = (
        shown.ago(status.get("finished"))
        if state in FINISHED
        else f"about {shown.length(max(1, left))} left"
        if left
        else ""
    )
    return JobRow(
        id=str(status.get("job") or ""),
        name=str(status.get("name") or status.get("source") or ""),
        kind=str(status.get("kind") or "video"),
        who=str(status.get("by") or ""),
        state=state,
        words=shown.state_words(status),
        percent=round(100 * float(status.get("progress") or 0)) if state == "running" else None,
        when=when,
        thumb=thumb_of(status),
        why=str(error.get("message") or "")
        if isinstance(error, Mapping)
        else f"It waits for: {waits}"
        if waits
        else "",
        again=state in FINISHED and bool(status.get("job")) and status.get("kind", "video") in _OF_THE_FORM,
        actions=actions_of(status),
    )


def actions_of(status: Mapping[str, Any]) -> dict[str, str]:
    """Return what can be done with a job: operation → label."""
    state = str(status["state"])
    if state in ("failed", "cancelled"):
        return {"retry": "Retry"}
    if state in FINISHED or not status.get("job"):
        return {}
    found = {"cancel": "Cancel"}
    if state == "held":
        return {"release": "Release", **found}
    if state in _OPEN and status.get("accepted") is not None:
        return {"first": "Next", "up": "Up", "down": "Down", "last": "Last", "hold": "Hold", **found}
    return found


def thumb_of(status: Mapping[str, Any]) -> str:
    """Return the name of the picture among the results of a job; empty without one."""
    if status["state"] != "done":
        return ""
    names = [Path(str(one.get("file", ""))).name for one in status.get("outputs") or () if isinstance(one, Mapping)]
    return next((name for name in names if name.lower().endswith((".jpg", ".png"))), "")


@dataclass(frozen=True)
class JobPage:
    """A page of the list. `counts`: tab → number; None where it is not known. `after`: begins the next page; None on the last."""

    rows: list[JobRow]
    counts: dict[str, int | None]
    after: int | None


def job_page(jobs: Jobs, caller: Caller, tab: str, search: str, after: int | None, order: str = "") -> JobPage:
    """Return a page of the jobs that somebody may see.

    Args:
        order: one of `daemon.history.sorted_rows.ORDERS`; empty: the newest first, and those that wait by turn.

    Raises:
        HistoryError: the index cannot be read.
    """
    by = [] if caller.sees_all else [caller.name]
    states = TABS[tab][1] if tab != LOOKS else ()
    query = Query(search=search, state=states, by=by, tag=[looks.TAG] if tab == LOOKS else []).without_looks
    by_turn = tab == "waiting" and not order
    found, cursor = jobs.find(query, caller, limit=ROWS, after=after, order="turn" if by_turn else order)
    by_state = states_of(jobs, caller)
    counts: dict[str, int | None] = {
        name: sum(by_state.values()) if not states else sum(by_state.get(state, 0) for state in states)
        for name, (_, states) in TABS.items()
    }
    rows = [row_of(jobs.full(one)) for one in found if one["state"] in states or not states]
    if by_turn:
        rows.sort(key=_place)
    return JobPage(rows, counts, cursor)


def states_of(jobs: Jobs, caller: Caller) -> dict[str, int]:
    """Return how many jobs there are of each state, of those that somebody may see; the page's own short ones do not count.

    Raises:
        HistoryError: the index cannot be read.
    """
    folder = jobs.paths.history
    try:
        return History(folder).states(by="" if caller.sees_all else caller.name, without_tag=looks.TAG)
    except HistoryError:
        if (folder / FILE).exists():
            raise
        return {}  # no daemon has run yet


def _place(row: JobRow) -> tuple[int, str]:
    digits = "".join(sign for sign in row.words if sign.isdigit())
    return (1 if row.words == "Is next" else int(digits) if digits else 10**9, row.name)


def neighbours(jobs: Jobs, caller: Caller) -> list[tuple[str, int]]:
    """Return the waiting jobs that somebody may see, with their priorities, the highest first."""
    by = [] if caller.sees_all else [caller.name]
    found, _ = jobs.find(Query(state=_OPEN, by=by).without_looks, caller, limit=1000, after=None)
    return sorted(
        ((str(one["job"]), int(one.get("priority") or 0)) for one in found if one["job"]), key=lambda one: -one[1]
    )


def new_priority(op: str, present: int, others: list[int]) -> int:
    """Return the priority that moves a waiting job.

    Args:
        op: first, up, down or last.
        present: its priority.
        others: those of the other waiting jobs.

    Raises:
        JobError: `request-invalid`: there is no such move.
    """
    if op == "first":
        return min(100, max([present, *(one + 1 for one in others)]))
    if op == "last":
        return max(-100, min([present, *(one - 1 for one in others)]))
    if op == "up":
        above = [one for one in others if one >= present]
        return min(100, min(above) + 1 if above else present)
    if op == "down":
        below = [one for one in others if one <= present]
        return max(-100, max(below) - 1 if below else present)
    raise JobError("request-invalid", f"A job cannot be moved {op}.", "Use first, up, down or last.")
