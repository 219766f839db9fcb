"""Reads how far a batch is: its counts, and its rows as the report in the outbox has them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.problems import RequestError
from daemon.errors import JobError
from daemon.jobs.batch.table import REPORT_COLUMNS
from daemon.jobs.record import FINISHED, JOB_ID
from daemon.system.safe_open import open_inside

#: Rows of a page.
ROWS: Final = 100
#: States of rows that a person may want to see alone.
FAILED: Final = ("failed", "cancelled", "wrong")
#: Columns of the table from which a row is named, and most characters of each.
_NAMED_BY, _CELL = 3, 60
_WORDS: Final = {
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "waiting": "Waits or runs",
    "wrong": "Wrong",
    "not taken": "Not begun",
}


@dataclass(frozen=True)
class BatchRow:
    """One row of a batch.

    Attributes:
        number: of the row, from 1.
        title: its first cells, as they are in the table.
        state, words: as the report says, and for people.
        job: id of its job; empty where it has none.
        file: path of its result below the outbox; empty before it is done.
        seconds: of work; None where that is not known.
        code, error: why it failed.
        sha256: of its result.
    """

    number: int
    title: str
    state: str
    words: str
    job: str
    file: str
    seconds: float | None
    code: str
    error: str
    sha256: str


@dataclass(frozen=True)
class BatchCounts:
    """How far a batch is. `rows` 0: they are not checked yet; `percent`: of the rows that have ended."""

    rows: int
    done: int
    failed: int
    cancelled: int
    left: int

    @property
    def ended(self) -> int:
        """Rows that have ended."""
        return self.rows - self.left

    @property
    def percent(self) -> int:
        """Part of the rows that have ended; 100 only when all have."""
        return 100 * self.ended // self.rows if self.rows else 0

    @property
    def words(self) -> str:
        """The counts in a sentence; empty without rows."""
        if not self.rows:
            return ""
        told = [f"{self.done} of {self.rows} {'rows are' if self.rows != 1 else 'row is'} done"]
        told += [f"{self.failed} failed"] * bool(self.failed) + [f"{self.cancelled} cancelled"] * bool(self.cancelled)
        return ", ".join([*told, *[f"{self.left} left"] * bool(self.left)]) + "."


def batch_status(jobs: Jobs, job: str, caller: Caller) -> dict[str, Any]:
    """Return the status of a batch.

    Raises:
        RequestError: `job-unknown`; `not-a-batch`: it is another job.
    """
    status = jobs.status(job, caller)
    if status.get("kind") != "batch" and "batch" not in status:
        raise RequestError(
            "not-a-batch",
            f"{status['name']} is no batch.",
            "It is a job of its own; look for it there.",
        )
    return status


def counts_of(status: Mapping[str, Any]) -> BatchCounts:
    """Return how far a batch is, by its status; nothing in there is trusted."""
    counts = status.get("batch")
    known = counts if isinstance(counts, Mapping) else {}
    keys = ("rows", "done", "failed", "cancelled", "left")
    return BatchCounts(*(value if isinstance(value := known.get(key), int) and value >= 0 else 0 for key in keys))


def words_of(status: Mapping[str, Any]) -> str:
    """Return in a sentence how far a batch is."""
    without = "No job was made of its rows." if status["state"] in FINISHED else "Its rows are not checked yet."
    return counts_of(status).words or without


def actions_of(status: Mapping[str, Any]) -> dict[str, str]:
    """Return what can be done with a batch: operation → label."""
    counts = counts_of(status)
    if status["state"] not in FINISHED:
        hold = {"release": "Release"} if status["state"] == "held" or status.get("held") else {"hold": "Hold the rest"}
        return {**hold, "cancel": "Cancel the rest"}
    again = counts.failed + counts.cancelled
    if again:
        return {"retry": f"Run {again} failed {'row' if again == 1 else 'rows'} again"}
    return {"retry": "Retry"} if status["state"] != "done" and not counts.rows else {}


def report_of(status: Mapping[str, Any]) -> str:
    """Return the path of the report below the outbox; empty before there is one."""
    counts = status.get("batch")
    path = counts.get("report") if isinstance(counts, Mapping) else None
    return path if isinstance(path, str) else ""


def open_report(outbox: Path, status: Mapping[str, Any]) -> tuple[str, int]:
    """Open the report of a batch; returns its path below the outbox, and its file descriptor, which the caller closes.

    Raises:
        RequestError: `not-ready`.
    """
    report = report_of(status)
    try:
        if not report:
            raise FileNotFoundError
        with open_inside(outbox, report) as opened:
            return report, os.dup(opened)
    except (JobError, OSError) as exc:
        raise RequestError(
            "not-ready", f"{status['name']} has no report yet.", "It comes when rows have ended."
        ) from exc


def rows_of(
    outbox: Path, status: Mapping[str, Any], *, states: Collection[str] = (), after: int, limit: int = ROWS
) -> tuple[list[BatchRow], int | None]:
    """Return a page of the rows of a batch, and where the next one begins; None on the last.

    Args:
        states: only those in one of these states, such as `FAILED`; empty: all.
        after: how many such rows are passed over.
    """
    wanted = (row for row in all_rows(outbox, status) if not states or row.state in states)
    found = list(islice(wanted, after, after + limit + 1))
    return found[:limit], after + limit if len(found) > limit else None


def all_rows(outbox: Path, status: Mapping[str, Any]) -> Iterator[BatchRow]:
    """Yield the rows of a batch, by its report; none before there is one, or where somebody spoilt it."""
    report = report_of(status)
    if not report:
        return
    try:
        with open_inside(outbox, report) as fd:
            file = io.open(os.dup(fd), encoding="utf-8-sig", newline="", errors="replace")  # noqa: UP020, SIM115
    except (JobError, OSError):
        return
    with file:
        header = file.readline()
        delimiter = next((sign for sign in ",;\t" if f"_row{sign}_state" in header), ",")
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        columns = [name for name in reader.fieldnames or () if name not in REPORT_COLUMNS][:_NAMED_BY]
        try:
            for cells in reader:
                if (row := _row(cells, columns)) is not None:
                    yield row
        except csv.Error:
            return


def _row(cells: Mapping[str, Any], columns: list[str]) -> BatchRow | None:
    number = str(cells.get("_row") or "")
    if not number.isdecimal() or len(number) > 9:
        return None
    state, job = str(cells.get("_state") or ""), str(cells.get("_job") or "")
    return BatchRow(
        number=int(number),
        title=" · ".join(text for name in columns if (text := str(cells.get(name) or "").strip()[:_CELL])),
        state=state,
        words=_WORDS.get(state, state),
        job=job if JOB_ID.fullmatch(job) else "",
        file=str(cells.get("_file") or ""),
        seconds=_seconds(str(cells.get("_seconds") or "")),
        code=str(cells.get("_code") or ""),
        error=str(cells.get("_error") or ""),
        sha256=str(cells.get("_sha256") or ""),
    )


def _seconds(cell: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return None
