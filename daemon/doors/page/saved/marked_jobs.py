"""Saves jobs that were marked in a list: their results, or a table of what became of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.results import open_result
from daemon.doors.page.saved.zip_stream import ZipPart
from daemon.errors import AvatarError
from daemon.jobs.batch.table import for_report

#: Columns of the table: those of a status that have one value, and what is made of the others.
_KEYS: Final = ("job", "name", "kind", "state", "by", "accepted", "finished")
_COLUMNS: Final = (*_KEYS, "files", "code", "error")


def files_of_jobs(jobs: Jobs, caller: Caller, marked: Iterable[str]) -> Iterator[ZipPart | str]:
    """Yield the results of jobs, and sentences on those that have none."""
    for job in marked:
        try:
            status = jobs.status(job, caller)
        except AvatarError as exc:
            yield exc.message
            continue
        outputs = _outputs(status)
        if not outputs:
            try:
                jobs.check_folders()
            except (AvatarError, OSError):
                yield f"{status['name']} ({job}): its results cannot be read now."
                continue
            yield f"{status['name']} ({job}): it has no results; it is {status['state']}."
        for one in outputs:
            name = PurePosixPath(one["file"]).name
            yield ZipPart(name, f"{one['file']} of {job}", partial(open_result, jobs.paths, one))


def table_of_jobs(jobs: Jobs, caller: Caller, marked: Iterable[str]) -> str:
    """Return a table of jobs as CSV, one a line, with its header. One that is gone, or somebody else's, has only its error."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for job in marked:
        try:
            status = jobs.status(job, caller)
        except AvatarError as exc:
            status = {"job": job[:80], "error": exc.to_dict()}
        error = status.get("error") or {}
        files = " ".join(one["file"] for one in _outputs(status))
        cells = [status.get(key) for key in _KEYS] + [files, error.get("code"), error.get("message")]
        rows.writerow(for_report(str(cell or "")) for cell in cells)
    return text.getvalue()


def _outputs(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in status.get("outputs") or () if isinstance(one, dict) and isinstance(one.get("file"), str)]
