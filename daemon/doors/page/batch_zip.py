"""Sends the results of a batch as one ZIP, while it is made: videos are compressed already, so they are only stored."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from daemon.doors.http.batches.report_rows import BatchRow, all_rows, report_of
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.results import open_result
from daemon.errors import AvatarError, JobError
from daemon.system.safe_open import open_inside

_CHUNK: Final = 1 << 20
#: Says in the archive what is not in it.
MISSING: Final = "MISSING.txt"


def zip_of(jobs: Jobs, caller: Caller, status: dict[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of a ZIP with the results of the rows that are done, and the report.

    What the report names is only given out where the row's job is the caller's and made that very file: people may have written
    into the report. What is not there any more is named in `MISSING.txt`.
    """
    outbox, sink, missing = jobs.paths.outbox, _Sink(), []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        used: set[str] = set()
        report = report_of(status)
        if report:
            try:
                with open_inside(outbox, report) as fd:
                    yield from _store(archive, sink, os.dup(fd), _free(os.path.basename(report), used))
            except (JobError, OSError):
                missing.append(report)
        for row in _done(all_rows(outbox, status)):
            try:
                output = _output(jobs, caller, row)
                fd = open_result(outbox, output)
            except AvatarError as exc:
                missing.append(f"row {row.number}, {row.file}: {exc.message}")
                continue
            yield from _store(archive, sink, fd, _free(PurePosixPath(row.file or output["file"]).name, used))
        if missing:
            archive.writestr(MISSING, "\n".join([*missing, ""]))
        yield sink.taken()
    yield sink.taken()


def _done(rows: Iterable[BatchRow]) -> Iterator[BatchRow]:
    return (row for row in rows if row.state == "done" and row.job)


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


def _free(name: str, used: set[str]) -> str:
    """Return a name that no other file of the archive has, ignoring case."""
    path, number = PurePosixPath(name), 1
    while name.casefold() in used:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    used.add(name.casefold())
    return name


def _store(archive: zipfile.ZipFile, sink: _Sink, fd: int, name: str) -> Iterator[bytes]:
    """Yield the bytes of one file of the archive. `fd`: of the file; it is closed."""
    with os.fdopen(fd, "rb") as source:
        known = os.fstat(fd)
        entry = zipfile.ZipInfo(
            name, time.gmtime(max(known.st_mtime, 315_532_800))[:6]
        )  # a ZIP knows no year before 1980
        entry.file_size = known.st_size  # decides whether the entry needs 64 bits
        entry.external_attr = 0o644 << 16
        with archive.open(entry, "w") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                yield sink.taken()
    yield sink.taken()


class _Sink:
    """Takes what the archive writes, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is taken already."""

    def close(self) -> None:
        """Do nothing."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_name(outbox_name: str) -> str:
    """Return what the ZIP of a batch is called."""
    return f"{Path(outbox_name).name}.zip"
