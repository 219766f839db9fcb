"""Starts rows of a batch that has ended again, and with them the batch."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.errors import JobError
from daemon.intake.batches.keeper import BatchKeeper
from daemon.jobs.facts import BatchCounts
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import FINISHED, Job
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.outbox.way_back import put_request
from daemon.queue.state_machine import StateMachine


class BatchRetries:
    """Starts rows again; each call returns one sentence for the person who asked.

    Args:
        run: runs a request on the job of one row.
    """

    def __init__(
        self,
        state_machine: StateMachine,
        outbox: Outbox,
        batches: BatchKeeper,
        run: Callable[[dict[str, Any]], Awaitable[str]],
    ) -> None:
        self._state_machine = state_machine
        self._outbox = outbox
        self._batches = batches
        self._run = run

    def ended_batch(self, job: Job) -> tuple[Job, Path] | None:
        """Return the batch of a row, and its folder, where it has ended; None for other jobs, and where it is gone."""
        row, spool = job.facts.row, self._state_machine.spool
        if row is None or self._batches.running(row.batch) is not None or (place := spool.find_job(row.batch)) is None:
            return None
        with contextlib.suppress(ValueError):  # its record cannot be read
            batch = spool.load_job(place)
            return (batch, place) if batch.facts.batch is not None and batch.state in FINISHED else None
        return None

    async def all_rows(self, batch: Job, place: Path, request: Mapping[str, Any], by: str) -> str:
        """Start the rows again that failed or were cancelled.

        Args:
            place: the folder of the batch.
            by: who asks.

        Raises:
            JobError: `job-not-failed`.
        """
        counts = _counts(batch)
        if not counts.failed and not counts.cancelled:
            raise JobError("job-not-failed", f"All rows of {batch.name} are done.", "Nothing is to be started again.")
        again = counts.failed + counts.cancelled
        await self._begin(batch, place, request, by)
        return f"{batch.name}: {again} of its rows start again."

    async def one_row(self, job: Job, batch: Job, place: Path, request: Mapping[str, Any], by: str) -> str:
        """Start one row again, so that the report of its batch tells of its new end. Arguments: as `all_rows`.

        Raises:
            JobError: `rows-together`.
        """
        counts, manifest = _counts(batch), Manifest.model_validate(batch.manifest)
        if counts.taken < counts.rows or (manifest.most_failures is not None and counts.failed):
            raise JobError(
                "rows-together",
                f"{job.name} is not started again alone: {batch.name} was stopped, and would stop it again.",
                f"To start all of its rows again that failed or were cancelled, {put_request(batch, 'retry')}, or use "
                "`avatar batch retry-failed`.",
            )
        await self._begin(batch, place, request, by, job.id)
        return f"{job.name} starts again, and its batch {batch.name} goes on until it has ended."

    async def _begin(self, batch: Job, place: Path, request: Mapping[str, Any], by: str, only: str = "") -> None:
        if batch.state != "done":  # its name is free meanwhile
            batch.name = self._outbox.reserve_name(batch.name, batch.id, status_of(batch))
        batch.note("retry", by=by)
        _counts(batch).stopped, batch.warnings = "", []
        await self._batches.begin_again(batch, place, lambda job_id: self._run({**request, "job": job_id}), only)


def _counts(batch: Job) -> BatchCounts:
    counts = batch.facts.batch
    assert counts is not None  # its rows became jobs
    return counts
