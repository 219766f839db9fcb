"""Says which tables are batches of their own, without a manifest that names them: those whose columns are keys of a manifest, and
the reports of batches.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from daemon.errors import JobError
from daemon.jobs.batch.rows import ROW_KEYS
from daemon.jobs.batch.table import REPORT_COLUMNS, TABLE_ENDINGS, Table, open_table
from daemon.jobs.record import JOB_ID

#: A table without any of them is about something else.
_MAIN: Final = frozenset({"text", "audio", "image", "avatar", "video", "prompt"})
_REPORT = ".report"
#: Columns that only a report has: each of them may have been lost.
_REPORT_MARKS: Final = frozenset({REPORT_COLUMNS[0], REPORT_COLUMNS[-1]})


def is_table(name: str) -> bool:
    """Return whether a file is a table by its name."""
    return name.lower().endswith(TABLE_ENDINGS)


def stem_of_table(name: str) -> str:
    """Return the name of the results of a table that is a batch of its own: `welcome` for welcome.csv and welcome.report.csv."""
    return os.path.splitext(os.path.basename(name))[0].removesuffix(_REPORT)


def batch_of(path: Path, name: str) -> bytes | None:
    """Return the manifest of the batch that a table is of its own; None where it is none.

    Args:
        name: of the table, without folders.
    """
    try:
        table = open_table(path, name)
        columns = _columns(table)
        is_report = not columns.isdisjoint(_REPORT_MARKS)
        batch = _batch_of_report(table) if is_report else ""
    except JobError:
        return None
    # A report that does not say of which batch it is is answered by the check of its columns.
    if not is_report and not (columns <= ROW_KEYS and columns & _MAIN):
        return None
    base = f"base: {batch}\n" if batch else ""
    return f"kind: batch\nrows: {json.dumps(name, ensure_ascii=False)}\n{base}".encode()


def batch_of_report(path: Path, name: str) -> str | None:
    """Return the id of the batch that a table is the report of; empty where it names none, None where it is no report.

    Args:
        name: of the table; its ending counts.
    """
    try:
        table = open_table(path, name)
    except JobError:
        return None
    return _batch_of_report(table) if table.is_report else None


def _columns(table: Table) -> set[str]:
    if table.columns:
        return {column for column in table.columns if column}
    return set(next(table.rows()).cells)


def _batch_of_report(table: Table) -> str:
    """Return the id of the batch that a report is of; empty where it names none. Rows that were done before name earlier ones."""
    newest = ""
    with contextlib.suppress(JobError):  # the rest cannot be read, which the check of the batch says
        for row in table.rows():
            batch = str(row.cells.get(REPORT_COLUMNS[-1], ""))
            newest = max(newest, batch) if JOB_ID.fullmatch(batch) else newest
    return newest
