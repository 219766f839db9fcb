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
from daemon.jobs.batch.done_rows import LEFT_OUT, DoneRows, Standing
from daemon.jobs.batch.files import ERRORS
from daemon.jobs.batch.rows import BatchInput, BatchRows
from daemon.jobs.batch.table import REPORT_COLUMNS, Row, for_report
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
    rows = BatchRows(manifest, folder / copy_name("rows"), BatchInput.read(folder).inherited, DoneRows(folder))
    keys = rows.table.columns or _keys(rows)
    headers = dict(zip(keys, rows.table.headers or keys, strict=True))
    columns = [column for column in keys if column and column not in REPORT_COLUMNS]
    wrong = _wrong_rows(folder)
    yield _line([*(headers[column] for column in columns), *REPORT_COLUMNS], rows.table.delimiter)
    for row in rows.table.rows():
        yield _line(
            [
                *(_text(row.cells.get(column, "")) for column in columns),
                *_ours(batch, row, rows, outcomes.get(row.number) or wrong.get(row.number), taken),
            ],
            rows.table.delimiter,
        )


def _ours(batch: str, row: Row, rows: BatchRows, outcome: Outcome | None, taken: Mapping[int, str]) -> tuple[str, ...]:
    """Return what the report adds to a row."""
    standing = rows.standing(row)
    if standing is Standing.DONE_SINCE:
        return rows.done_cells(row)
    if standing in LEFT_OUT:  # as the report says that was handed in
        return tuple(str(row.cells.get(column, "")) for column in REPORT_COLUMNS)
    if outcome is None:
        job = taken.get(row.number, "")
        outcome = Outcome("waiting" if job else "not taken", job)
    return outcome.report_cells(row.number, batch)


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
