"""Keeps what became of the rows of a batch: in memory, and as lines that are added to a file in its job's folder.

The file is a help: what a crash takes of it is read again from the records of the rows' jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from daemon.jobs.batch.files import OUTCOMES
from daemon.jobs.record import FINISHED, Job
from daemon.system import fs


class Outcome(NamedTuple):
    """How a row's job ended.

    Attributes:
        state: done, failed or cancelled.
        job: its id.
        file: its main result, as a path below the outbox; empty where it has none.
        seconds: of work in its stages.
        code, error: why it failed or was cancelled; empty where it did not.
        sha256: of `file`.
        batch: id of the batch that made the row, where that is another one; else empty.
    """

    state: str
    job: str
    file: str = ""
    seconds: float = 0.0
    code: str = ""
    error: str = ""
    sha256: str = ""
    batch: str = ""

    @classmethod
    def of_job(cls, job: Job) -> Outcome:
        """Return how a job ended."""
        outputs = job.outputs.get("outputs")
        seconds = round(sum(times.get("run", 0.0) for times in job.timings.values()), 2)
        return cls(
            job.state,
            job.id,
            outputs[-1].get("file", "") if outputs else "",
            seconds,
            job.error.get("code", "") if job.error else "",
            f"{job.error.get('message', '')} {job.error.get('hint', '')}".strip() if job.error else "",
            outputs[-1].get("sha256", "") if outputs else "",
        )

    def report_cells(self, row: int, batch: str) -> tuple[str, ...]:
        """Return the columns that a report adds (`REPORT_COLUMNS`). `batch`: id of the batch's job."""
        seconds = f"{self.seconds:g}" if self.seconds else ""
        made_by = self.batch or batch
        return str(row), self.state, self.job, self.file, seconds, self.code, self.error, self.sha256, made_by

    @classmethod
    def of_report(cls, cells: tuple[str, ...]) -> Outcome:
        """Return what the columns of a report say (`report_cells`), of a batch that is not the reader's own."""
        _, state, job, file, seconds, code, error, sha256, batch = cells
        return cls(state, job, file, float(seconds or 0), code, error, sha256, batch)


class Outcomes:
    """The outcomes of one batch, by the number of the row.

    Args:
        folder: of the batch's job.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / OUTCOMES
        self._rows: dict[int, Outcome] = {}
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, TypeError, KeyError):  # a line that a crash cut off
                    row, *values = json.loads(line)
                    self._set(row, Outcome(*values) if values else None)

    def __contains__(self, row: int) -> bool:
        return row in self._rows

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._rows))

    def done(self) -> Iterator[tuple[int, Outcome]]:
        """Yield the rows that are done."""
        return ((row, outcome) for row, outcome in list(self._rows.items()) if outcome.state == "done")

    def get(self, row: int) -> Outcome | None:
        """Return how the job of a row ended; None while it has not."""
        return self._rows.get(row)

    def counts(self) -> Counter[str]:
        """Return how many rows ended in each state."""
        return Counter(outcome.state for outcome in self._rows.values())

    def note(self, row: int, outcome: Outcome | None) -> None:
        """Note how the job of a row ended; None: it runs again."""
        if self._rows.get(row) == outcome:
            return
        self._set(row, outcome)
        with contextlib.suppress(OSError):  # a full disk: it is found again in the job's record
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(fd, _line(row, outcome))
            finally:
                os.close(fd)

    def take_back(self, job: str) -> None:
        """Note durably that rows which failed or were cancelled run again.

        Args:
            job: only those whose result it makes; empty for all.

        Raises:
            OSError: it is not written.
        """
        self._rows = {n: one for n, one in self._rows.items() if one.state == "done" or job not in ("", one.job)}
        self.save()

    def save(self) -> None:
        """Write all of them durably: of a batch that has ended, they are read long after the records of its rows' jobs are gone.

        Raises:
            OSError: they are not written.
        """
        fs.replace_bytes(self._path, b"".join(_line(row, outcome) for row, outcome in list(self._rows.items())))

    def take_over(self, made: Mapping[int, Outcome]) -> None:
        """Note, durably, the outcomes of rows that another batch has made.

        Raises:
            OSError: they are not written.
        """
        self._rows.update(made)
        self.save()

    def _set(self, row: int, outcome: Outcome | None) -> None:
        if outcome is None or outcome.state not in FINISHED:
            self._rows.pop(row, None)
        else:
            self._rows[row] = outcome


def _line(row: int, outcome: Outcome | None) -> bytes:
    return f"{json.dumps([row, *(outcome or ())], ensure_ascii=False)}\n".encode()
