"""The files of a batch that are saved as one ZIP: the results of the rows that are done, and the report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from daemon.doors.http.batches.report_rows import BatchRow, all_rows, report_of
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.results import open_result
from daemon.doors.page.saved.zip_stream import ZipPart
from daemon.errors import AvatarError, JobError
from daemon.system.safe_open import open_inside


def files_of_batch(jobs: Jobs, caller: Caller, status: dict[str, Any]) -> Iterator[ZipPart | str]:
    """Yield the files of a batch, and sentences on those that are missing.

    What the report names is only given out where the row's job is the caller's and made that very file: people may have written
    into the report.
    """
    outbox = jobs.paths.outbox
    if report := report_of(status):
        yield ZipPart(os.path.basename(report), report, partial(_opened, outbox, report))
    for row in all_rows(outbox, status):
        if row.state != "done" or not row.job:
            continue
        what = f"row {row.number}, {row.file}"
        try:
            output = _output(jobs, caller, row)
        except AvatarError as exc:
            yield f"{what}: {exc.message}"
            continue
        yield ZipPart(PurePosixPath(row.file or output["file"]).name, what, partial(open_result, jobs.paths, output))


def _opened(outbox: Path, file: str) -> int:
    with open_inside(outbox, file) as fd:
        return os.dup(fd)


def _output(jobs: Jobs, caller: Caller, row: BatchRow) -> dict[str, Any]:
    """Return the entry in `outputs` of a row's job that is the row's result; a row may have got that of an equal one, whose
    file has the same content.

    Raises:
        AvatarError: there is none of the caller's.
    """
    outputs = [one for one in jobs.status(row.job, caller).get("outputs") or () if isinstance(one, dict)]
    found = [one for one in outputs if one.get("file") == row.file] or [
        one for one in outputs if row.sha256 and one.get("sha256") == row.sha256
    ]
    if not found:
        raise JobError("cleared", "It is not what the job made.", "Make it again.")
    return found[-1]
