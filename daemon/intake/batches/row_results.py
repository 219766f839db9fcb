"""Finds how the jobs of rows have ended, writes the tables that tell of them, and gives equal rows a copy of the results of the
one that was made.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.errors import MACHINE_ERRNOS, AvatarError
from daemon.intake.batches.outcomes import Outcome
from daemon.intake.batches.report import report
from daemon.intake.batches.resolved_rows import ResolvedRows
from daemon.intake.batches.running_batch import RunningBatch
from daemon.intake.jobs.new_records import row_name
from daemon.jobs.batch.files import ERRORS
from daemon.jobs.companions import copy_name
from daemon.jobs.facts import Output
from daemon.jobs.record import row_id
from daemon.jobs.untrusted import printable
from daemon.outbox.names import ERRORS_ENDING
from daemon.outbox.outbox import Outbox
from daemon.queue.copy_comparison import Content, compare_with_copy
from daemon.queue.spool import Spool
from daemon.system.file_key import file_key
from daemon.system.safe_open import open_inside


class RowResults:
    """Reads the records of rows' jobs and copies their results; to be called in the thread of the disk."""

    def __init__(self, inbox: Path, spool: Spool, outbox: Outbox) -> None:
        self._inbox = inbox
        self._spool = spool
        self._outbox = outbox

    def unknown_ends(self, batch: RunningBatch, rows: ResolvedRows) -> list[tuple[int, Outcome | None, Outcome | None]]:
        """Return the rows that have ended, or run again, by the records of their jobs, where their outcomes do not say so.

        Returns:
            Number, known outcome and the right one of each.
        """
        found, retry = [], batch.retry
        for number in (*rows.numbers[: batch.counts.taken], *batch.made_beyond(self._spool)):
            known = batch.outcomes.get(number)
            is_final = known is not None and (known.state == "done" or bool(known.batch) or not known.job)
            if is_final or number in rows.twin_numbers:
                continue
            now = self.ended(batch.job.id, number, retry)
            if (known is None) != (now is None):
                found.append((number, known, now))
        return found

    def ended(self, batch: str, row: int, retry: Mapping[str, Any] | None = None) -> Outcome | None:
        """Return how the job of a row has ended, by its record; None where it has not, or is still to be started again by the
        order `retry`.
        """
        job_id = row_id(batch, row)
        place = self._spool.find_job(job_id)
        is_to_start = retry is not None and retry["only"] in ("", job_id)
        if place is None:
            if is_to_start:
                return None
            return Outcome("failed", job_id, code="job-gone", error="The job of this row is not in the spool any more.")
        if place.parent not in (self._spool.resting("done"), self._spool.resting("failed")):
            return None
        try:
            job = self._spool.load_job(place)
            if retry is not None and is_to_start and job.state != "done" and (job.finished or 0.0) <= retry["since"]:
                return None
            return Outcome.of_job(job)
        except ValueError as exc:
            if is_to_start:
                return None
            return Outcome("failed", job_id, code="job-unreadable", error=f"The job's record cannot be read: {exc}.")

    def publish_tables(self, batch: RunningBatch, rows: ResolvedRows) -> list[Output]:
        """Write what is wrong with rows that got no job, where some are and that is not written yet, and the report. Returns both
        as entries of `outputs`, the report last.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the last table is not written.
        """
        job = batch.job
        if batch.errors is None:
            with contextlib.suppress(FileNotFoundError):
                text = (batch.place / ERRORS).read_text("utf-8-sig")
                batch.errors = self._outbox.publish_table(job.name, job.id, ERRORS_ENDING, [text])
        taken = {number: row_id(job.id, number) for number in (*rows.numbers[: batch.counts.taken], *list(batch.begun))}
        lines = report(job.id, batch.manifest, batch.place, batch.outcomes, taken)
        written = self._outbox.publish_table(job.name, job.id, ".report.csv", lines)
        return [written] if batch.errors is None else [batch.errors, written]

    def added_rows(self, batch: RunningBatch) -> str:
        """Return a warning where rows were added to the table in the inbox since it was read; else nothing."""
        copy = copy_name("rows")
        source = batch.job.facts.sources.get(copy)
        if source is None:  # the table itself was handed in, and is not in the inbox any more
            return ""
        with contextlib.suppress(AvatarError, OSError), open_inside(self._inbox, source.path) as fd:
            if list(file_key(fd)) == source.file:
                return ""
            with (batch.place / copy).open("rb") as read:
                if compare_with_copy(read.fileno(), fd, threading.Event()) is Content.GROWN:
                    return (
                        f"{printable(os.path.basename(source.path))} has rows that were added when it had been read already: no "
                        "jobs were made of them. To make them, hand in the manifest again with a table of these rows alone."
                    )
        return ""

    def copy_for(self, batch: RunningBatch, rows: ResolvedRows, first: int, at: int, outcome: Outcome) -> Outcome:
        """Copy the results of one row for another one, the `at`-th in the order; returns its outcome."""
        if outcome.state != "done":
            return outcome._replace(error=f"It is equal to row {first}: {outcome.error}", seconds=0.0)
        place = self._spool.find_job(outcome.job)  # of this batch, or of another one that made the row since
        try:
            if place is None:
                raise FileNotFoundError(f"the job of row {first} is not in the spool any more")
            job = self._spool.load_job(place)
            row = next(rows.from_index(at))
            name = row_name(batch.job, row.number, row.values.get("output"))
            last = outcome.file
            for output in job.outputs.get("outputs", ()):
                file = str(output["file"])
                last = self._outbox.copy_result(
                    file, name, file.removeprefix(job.name), row_id(batch.job.id, row.number)
                )
        except (OSError, ValueError, KeyError) as exc:
            if isinstance(exc, OSError) and exc.errno in MACHINE_ERRNOS:
                raise  # the disk is full, or does not answer: it is tried again
            return Outcome(
                "failed", outcome.job, code="result-gone", error=f"The result of row {first} cannot be copied: {exc}."
            )
        return outcome._replace(file=last, seconds=0.0, batch="")
