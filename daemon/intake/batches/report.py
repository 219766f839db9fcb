"""Writes the report of a batch: the table as it came, and beside each row what became of it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from daemon.intake.batches.outcomes import Outcome, Outcomes
from daemon.jobs.batch.files import ERRORS
from daemon.jobs.batch.rows import BatchInput, BatchRows
from daemon.jobs.batch.table import REPORT_COLUMNS, for_report
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest


def report(batch: str, manifest: Manifest, folder: Path, outcomes: Outcomes, taken: Mapping[int, str]) -> Iterator[str]:
    """Yield the lines of a report, as CSV.

    Args:
        batch: id of the batch's job.
        manifest: of the batch; `folder`: of its job.
        outcomes: of its rows.
        taken: ids of the jobs of rows that have one, by the row's number.
    """
    rows = BatchRows(manifest, folder / copy_name("rows"), BatchInput.read(folder).inherited)
    keys = rows.table.columns or _keys(rows)
    headers = dict(zip(keys, rows.table.headers or keys, strict=True))
    columns = [column for column in keys if column and column not in REPORT_COLUMNS]
    wrong = _wrong_rows(folder)
    yield _line([*(headers[column] for column in columns), *REPORT_COLUMNS], rows.table.delimiter)
    for row in rows.table.rows():
        if row.cells.get("_state") == "done":  # of the report that was handed in
            ours = tuple(str(row.cells.get(column, "")) for column in REPORT_COLUMNS)
            yield _line([*(_text(row.cells.get(column, "")) for column in columns), *ours], rows.table.delimiter)
            continue
        outcome = outcomes.get(row.number) or wrong.get(row.number)
        state = outcome.state if outcome else "waiting" if row.number in taken else "not taken"
        ours = (
            str(row.number),
            state,
            outcome.job if outcome else taken.get(row.number, ""),
            outcome.file if outcome else "",
            f"{outcome.seconds:g}" if outcome and outcome.seconds else "",
            outcome.code if outcome else "",
            outcome.error if outcome else "",
            outcome.sha256 if outcome else "",
            batch,
        )
        yield _line([*(_text(row.cells.get(column, "")) for column in columns), *ours], rows.table.delimiter)


def _wrong_rows(folder: Path) -> dict[int, Outcome]:
    """Return the rows of which no job was made, by what the check found."""
    found: dict[int, Outcome] = {}
    with contextlib.suppress(FileNotFoundError), (folder / ERRORS).open(encoding="utf-8-sig", newline="") as file:
        for row, _, _, code, message, hint, _ in islice(csv.reader(file), 1, None):
            found[int(row)] = Outcome("wrong", "", code=code, error=f"{message} {hint}".strip())
    return found


def _keys(rows: BatchRows) -> tuple[str, ...]:
    """Return all keys of a table of JSON Lines, in the order in which they come."""
    return tuple(dict.fromkeys(key for row in rows.rows() for key in row.cells))


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _line(cells: list[str], delimiter: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter or ",").writerow(map(for_report, cells))
    return text.getvalue()
