"""`avatar batch …`: the batches there are, how far they have come, and their failed rows."""

from __future__ import annotations

import csv
import os
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.complete import complete_jobs
from daemon.cli.job_list import ALL, find_rows
from daemon.cli.job_lookup import find
from daemon.errors import JobError, RefusedError
from daemon.history.query import Query, Row
from daemon.jobs.record import FINISHED, JOB_ID
from daemon.outbox.outbox import Outbox
from daemon.system.safe_open import open_inside

#: Failed rows that are shown for people.
SHOWN = 20


@click.group()
def batch() -> None:
    """Batches: a job for each row of a table; how far they have come, and what failed."""


@batch.command("list")
@click.option("--limit", "-n", type=click.IntRange(0), default=50, show_default=True, help="The newest only; 0: all.")
@json_option
@click.pass_obj
def list_batches(shell: Shell, limit: int, as_json: bool) -> None:
    """Batches, oldest first, with the number of their rows.

    \b
    Example:
      avatar batch list --limit 5
    """
    outbox = Outbox(shell.settings.paths.outbox)
    found = list(reversed(find_rows(shell, Query(kind=["batch"]), limit or ALL)))
    statuses = [_status_of(outbox, row.job, row.name) for row in found]
    rows = [_counted(row, status) for row, status in zip(found, statuses, strict=True)]

    def text() -> None:
        for row, status in zip(rows, statuses, strict=True):
            told = "its status has gone from the outbox" if status is None else _told(row)
            click.echo(f"{row['name']}\t{row['state']}\t{told}")
        if not rows:
            click.echo("No batches.")

    show(rows, as_json, text)


@batch.command("show")
@click.argument("name", shell_complete=complete_jobs)
@json_option
@click.pass_obj
def show_batch(shell: Shell, name: str, as_json: bool) -> None:
    """How far one batch has come (by name or id), and which of its rows failed and why.

    \b
    Example:
      avatar batch show welcome
    """
    status = _status(shell, name)
    rows = _failed_rows(shell, status)

    def text() -> None:
        wrong = sum(row["state"] == "wrong" for row in rows)
        more = f", {wrong} wrong (no job was made of {'it' if wrong == 1 else 'them'})" if wrong else ""
        click.echo(f"{status['name']}: {status['state']}, {_told({**status, **status.get('batch', {})})}{more}")
        if error := status.get("error"):
            click.echo(f"{error['code']}: {error['message']} {error['hint']}".rstrip())
        for row in rows[:SHOWN]:
            click.echo(f"row {row['row']}\t{row['state']}\t{row['code']}\t{row['error']}")
        if len(rows) > SHOWN:
            click.echo(f"{len(rows) - SHOWN} more are in {status['batch']['report']}.")

    show({**status, "failed_rows": rows}, as_json, text)


@batch.command("retry-failed")
@click.argument("name", shell_complete=complete_jobs)
@json_option
@click.pass_obj
def retry_failed(shell: Shell, name: str, as_json: bool) -> None:
    """Start the failed and cancelled rows of a batch again, once it has ended.

    \b
    Example:
      avatar batch retry-failed welcome
    """
    answer = shell.ask("retry", job=_status(shell, name)["job"])
    show(answer, as_json, lambda: click.echo(answer["message"]))


def _status(shell: Shell, name: str) -> dict[str, Any]:
    """Return the status of a batch.

    Raises:
        AvatarError: `job-unknown`; `not-a-batch`: it is another job, or its status is another's by now.
    """
    outbox = Outbox(shell.settings.paths.outbox)
    found = None if JOB_ID.fullmatch(name) else outbox.read_status(name)
    if found is None:
        job = find(shell, name)
        found = _status_of(outbox, job.id, job.name)
    if found is None or (found.get("kind") != "batch" and "batch" not in found):
        raise RefusedError(
            "not-a-batch",
            f"{name} is no batch of which the outbox has a status.",
            "`avatar batch list` shows the batches; `avatar jobs show` says what this job is.",
        )
    return found


def _status_of(outbox: Outbox, job: str, name: str) -> dict[str, Any] | None:
    """Return the status of a job; None where another one has its name by now, as after one that failed."""
    found = outbox.read_status(name)
    return found if found is not None and found.get("job") == job else None


def _counted(row: Row, status: dict[str, Any] | None) -> dict[str, Any]:
    counts = (status or {}).get("batch") or {}
    known = {"job": row.job, "name": row.name, "state": row.state}
    return {**known, **{key: counts.get(key) for key in ("rows", "done", "failed", "cancelled", "held", "left")}}


def _told(counts: dict[str, Any]) -> str:
    if counts.get("rows") is None:
        return "no job was made of its rows" if counts.get("state") in FINISHED else "its rows are not checked yet"
    words = [f"{counts['done']} of {counts['rows']} row{'s' * (counts['rows'] != 1)} done"]
    words += [f"{counts[key]} {key}" for key in ("failed", "cancelled", "held", "left") if counts.get(key)]
    return ", ".join(words)


def _failed_rows(shell: Shell, status: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows that failed, were cancelled or are wrong, by the batch's report."""
    report = status.get("batch", {}).get("report")
    if not report:
        return []
    try:
        with open_inside(shell.settings.paths.outbox, report) as fd:
            file = os.fdopen(os.dup(fd), encoding="utf-8-sig", newline="")
    except JobError:
        return []
    with file:
        header = file.readline()
        delimiter = next((sign for sign in ",;\t" if f"_row{sign}_state" in header), ",")
        file.seek(0)
        rows = csv.DictReader(file, delimiter=delimiter)
        return [
            {"row": row["_row"], "state": row["_state"], "code": row["_code"] or "", "error": row["_error"] or ""}
            for row in rows
            if row.get("_state") in ("failed", "cancelled", "wrong")
        ]
