"""Jobs as people read them in a terminal: a list that fits 80 columns, and everything known about one job."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from daemon.cli.numbers import size_of_file
from daemon.errors import escape_unprintable
from daemon.jobs.iso_time import iso

if TYPE_CHECKING:
    from rich.table import Table

#: Below this width of the terminal, in columns, name and remark of a job share a column.
WIDE = 110
LABEL = 16  # columns of a label in `jobs show`
#: Keys of a status that `jobs show` puts into sentences; the others are shown as they are.
_SHOWN = {
    "schema", "job", "name", "state", "stage", "progress", "eta_s", "queue_position", "source", "document", "by", "accepted",
    "updated", "finished", "next", "waiting_for", "error", "held", "warnings", "outputs", "stages", "timings", "attempts",
    "metadata", "history",
}  # fmt: skip


def minute(time: str | None) -> str:
    """Return an ISO 8601 time in UTC, for people, to the minute: "2026-01-02 03:04Z". What is no time is empty."""
    return _moment(time, "minutes")


def second(time: str | None) -> str:
    """The same to the second."""
    return _moment(time, "seconds")


def _moment(time: str | None, until: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(str(time)).astimezone(datetime.UTC)
    except ValueError:
        return ""
    return moment.replace(tzinfo=None).isoformat(" ", until) + "Z"


def remark(job: Mapping[str, Any]) -> str:
    """Return what keeps a job: its stage, an error's code, or the files its manifest waits for."""
    if job.get("error"):
        return str(job["error"].get("code"))
    if job.get("waiting_for"):
        return f"waits for {', '.join(map(str, job['waiting_for']))}"
    return str(job.get("stage") or "") if job["state"] in ("queued", "running", "held") else ""


def job_table(jobs: Iterable[Mapping[str, Any]], width: int) -> Table:
    """The list of jobs for a terminal of `width` columns. Ids and times are never cut; long names go on in the next line."""
    from rich.markup import escape
    from rich.table import Table

    wide = width >= WIDE
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("job", "accepted", "state"):
        table.add_column(title, no_wrap=True, overflow="fold")
    for title in ("name", "what") if wide else ("name",):
        table.add_column(title, overflow="fold")
    for job in jobs:
        name, what = job["name"], remark(job)
        told = [name, what] if wide else [f"{name}\n{what}" if what else name]
        table.add_row(*map(escape, [job["job"] or "not yet a job", minute(job.get("accepted")), job["state"], *told]))
    return table


def describe(job: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield the lines of `jobs show`. `job`: a status, with its `history` where that is known."""
    yield escape_unprintable(f"{job['name']}: {job['state']}")
    for label, text in _facts(job):
        yield from _wrapped(label, text, width)
    for stage, facts in (job.get("stages") or {}).items():
        yield from _block(f"facts of {stage}", facts, width)
    if job.get("metadata"):
        yield from _block("metadata", job["metadata"], width)
    for key in (one for one in job if one not in _SHOWN):
        if isinstance(job[key], dict | list):
            yield from _block(key, job[key], width)
        else:
            yield from _wrapped(f"{key} ", str(job[key]), width)
    if job.get("history"):
        yield "history"
        for entry in job["history"]:
            yield from _wrapped(f"  {second(entry.get('at'))}", _entry(entry), width, 24)


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line, the most important first."""
    if error := job.get("error"):
        stage = f" in the stage {error['stage']}" if error.get("stage") else ""
        yield "error", f"{error.get('message', '')} ({error.get('code')}, fault: {error.get('fault')}{stage})"
        yield "what to do", str(error.get("hint") or "")
    yield "next", str(job.get("next") or "")
    yield "waits for", ", ".join(map(str, job.get("waiting_for") or ()))
    if job["state"] in ("queued", "running") and job.get("stage"):
        left = f", about {job['eta_s']:.0f} s of work left" if job.get("eta_s") is not None else ""
        yield "progress", f"{job.get('progress') or 0:.0%}, in the stage {job['stage']}{left}"
    if position := job.get("queue_position"):
        yield "place in queue", str(position)
    if held := job.get("held"):
        since = f" since {second(held.get('since'))}" if held.get("since") else ""
        yield "held", f"by {held.get('by')}{since}: {held.get('reason') or 'no reason given'}"
    for output in job.get("outputs") or ():
        yield "result", f"{output.get('file')} ({size_of_file(output.get('bytes', 0))})"
    for warning in job.get("warnings") or ():
        yield "warning", str(warning)
    yield "job", str(job.get("job") or "not yet a job")
    document = f", document {job['document'] + 1}" if job.get("document") else ""
    owner = f", of {job['by']}" if job.get("by") else ""
    yield "manifest", f"{job.get('source') or ''}{document}{owner}"
    for key in ("accepted", "finished"):
        yield key, second(job.get(key))
    for stage, times in (job.get("timings") or {}).items():
        tries = (job.get("attempts") or {}).get(stage)
        told = [f"{key.removesuffix('_s')} {value:.1f} s" for key, value in times.items()]
        yield f"time of {stage}", ", ".join([*told, *([f"{tries} attempts"] if tries else [])])


def _entry(entry: Mapping[str, Any]) -> str:
    """Return an entry of the history in one line; tracebacks and logs are shown elsewhere."""
    more = [
        f"{key}: {value if isinstance(value, str) else _flow(value)}"
        for key, value in entry.items()
        if key not in ("at", "event", "traceback", "log")
    ]
    return f"{entry.get('event')} {', '.join(more)}".rstrip()


def _wrapped(label: str, text: str, width: int, indent: int = LABEL) -> Iterator[str]:
    if not text:
        return
    lines = [
        line
        for part in escape_unprintable(text).splitlines()
        for line in textwrap.wrap(part, max(20, width - indent), break_on_hyphens=False) or [""]
    ]
    for number, line in enumerate(lines):
        yield f"{label if number == 0 else '':{indent}}{line}".rstrip()


def _block(title: str, value: Any, width: int) -> Iterator[str]:
    """Yield a value, one key a line; what is below a key is in the form of a manifest."""
    yield escape_unprintable(title)
    for key, item in value.items() if isinstance(value, dict) else (("", value),):
        text = item if isinstance(item, str) else _flow(item)
        yield from _wrapped(escape_unprintable(f"  {key} "), text, width, max(20, len(str(key)) + 3))


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**9)
    return text.removesuffix("...\n").strip()


def with_iso_times(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the history of a job's record, whose times are seconds since the epoch, with times as everywhere in the status."""
    return [
        {**entry, "at": iso(entry["at"]) if isinstance(entry.get("at"), int | float) else None} for entry in history
    ]
