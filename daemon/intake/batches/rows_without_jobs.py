"""Says why a row of a batch that somebody asks for by its name has no job, and what to ask for instead."""

from __future__ import annotations

import contextlib
import os

from daemon.errors import JobError
from daemon.intake.batches.resolved_rows import CheckedRow, ResolvedRows
from daemon.intake.jobs.new_records import row_name
from daemon.jobs.batch.done_rows import related_ids
from daemon.jobs.batch.files import RESOLVED
from daemon.jobs.record import FINISHED, JOB_ID, Job, row_id
from daemon.outbox.outbox import Outbox
from daemon.outbox.way_back import put_request
from daemon.queue.spool import Spool
from daemon.system.spelling import folded


def row_without_job(spool: Spool, outbox: Outbox, name: str) -> JobError | None:
    """Return why a row has no job and gets none: it is equal to another one, or its batch was stopped before. None where no row
    is called so, or its job may still be made.

    Args:
        name: of its result, below the outbox.
    """
    folder = os.path.dirname(name)
    owner = outbox.owner_of(folder) if folder else None
    if owner is None or not JOB_ID.fullmatch(owner):
        return None
    with contextlib.suppress(OSError, ValueError):  # the spool is not this user's, or the batch goes at this moment
        place = spool.find_job(owner)
        related = related_ids(place) if place is not None else ()
        for batch in sorted(
            {owner, *related}, reverse=True
        ):  # the newest one that has the row tells what becomes of it
            if (at := spool.find_job(batch)) is None or not (at / RESOLVED).exists():
                continue
            job, rows = spool.load_job(at), ResolvedRows(at)
            row = next((row for row in rows.from_index(0) if folded(_name(job, row)) == folded(name)), None)
            if row is not None:
                return _why_without(spool, job, rows, row)
    return None


def _why_without(spool: Spool, batch: Job, rows: ResolvedRows, row: CheckedRow) -> JobError | None:
    if spool.find_job(row_id(batch.id, row.number)) is not None:
        return None
    if row.same_as is not None:
        first = next(_name(batch, other) for other in rows.from_index(0) if other.number == row.same_as)
        return JobError(
            "row-without-job",
            f"{_name(batch, row)} has no job of its own: row {row.number} of {batch.name} is equal to row {row.same_as}, and "
            "gets the same result.",
            f"Ask for {first} instead.",
        )
    if batch.state not in FINISHED:
        return None
    return JobError(
        "row-without-job",
        f"{_name(batch, row)} has no job: {batch.name} was stopped before one was made of row {row.number}.",
        f"To start all of its rows that failed or were cancelled, {put_request(batch, 'retry')}, or use `avatar batch "
        "retry-failed`.",
    )


def _name(batch: Job, row: CheckedRow) -> str:
    return row_name(batch, row.number, row.values.get("output"))
