"""Starts rows of a batch that has ended again, and with them the batch."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.errors import JobError
from daemon.intake.batches.earlier_batches import EarlierBatches
from daemon.intake.batches.keeper import BatchKeeper
from daemon.jobs.facts import BatchCounts
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import FINISHED, Job
from daemon.outbox.names import ERRORS_ENDING
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.outbox.way_back import put_request
from daemon.queue.state_machine import StateMachine
from daemon.system.disk_thread import DiskThread


class BatchRetries:
    """Starts rows again; each call returns one sentence for the person who asked.

    Args:
        earlier: finds the batches of one table.
        disk: the thread in which jobs are made, and so batches of reports.
        run: runs a request on the job of one row.
    """

    def __init__(
        self,
        state_machine: StateMachine,
        outbox: Outbox,
        batches: BatchKeeper,
        earlier: EarlierBatches,
        disk: DiskThread,
        run: Callable[[dict[str, Any]], Awaitable[str]],
    ) -> None:
        self._state_machine = state_machine
        self._outbox = outbox
        self._batches = batches
        self._earlier = earlier
        self._disk = disk
        self._run = run

    def ended_batch(self, job: Job) -> tuple[Job, Path] | None:
        """Return the batch of a row, and its folder, where it has ended; None for other jobs, and where it is gone."""
        return self._ended(job.facts.row.batch) if job.facts.row is not None else None

    def _ended(self, batch_id: str) -> tuple[Job, Path] | None:
        spool = self._state_machine.spool
        if self._batches.running(batch_id) is not None or (place := spool.find_job(batch_id)) is None:
            return None
        with contextlib.suppress(ValueError):  # its record cannot be read
            batch = spool.load_job(place)
            return (batch, place) if batch.facts.batch is not None and batch.state in FINISHED else None
        return None

    async def all_rows(self, batch: Job, request: Mapping[str, Any], by: str) -> str:
        """Start the rows again that failed or were cancelled, but for those that another batch of the same table has made since.

        Args:
            by: who asks.

        Raises:
            JobError: `job-not-failed`, `batch-running`.
        """
        counts = _counts(batch)
        if not counts.failed and not counts.cancelled:
            files = [one["file"] for one in batch.outputs.get("outputs", [])]
            if (errors := next((file for file in files if file.endswith(ERRORS_ENDING)), None)) is not None:
                raise JobError(
                    "job-not-failed",
                    f"All rows of {batch.name} that have a job are done; others are wrong, and none was made of them.",
                    f"Mend them in the report of the batch, as {errors} says, and put that into the inbox.",
                )
            raise JobError("job-not-failed", f"All rows of {batch.name} are done.", "Nothing is to be started again.")
        with self._earlier.starting_again(batch.id):
            taken = await self._disk.run(self._earlier.take_over, batch.id)
            if (found := self._ended_still(batch)) is None:
                return await self._run(dict(request))
            await self._begin(*found, request, by)
        others = f"; {_made(taken.rows)}" if taken.rows else ""
        return f"{batch.name}: {taken.left or 'none'} of its rows start again{others}{_gone(taken.gone)}."

    async def one_row(self, job: Job, batch: Job, request: Mapping[str, Any], by: str) -> str:
        """Start one row again, so that the report of its batch tells of its new end. Arguments: as `all_rows`.

        Raises:
            JobError: `rows-together`, `batch-running`; `job-not-failed`: another batch of the same table has made it since.
        """
        counts, manifest = _counts(batch), Manifest.model_validate(batch.manifest)
        if counts.taken < counts.rows or (manifest.most_failures is not None and counts.failed):
            raise JobError(
                "rows-together",
                f"{job.name} is not started again alone: {batch.name} was stopped, and would stop it again.",
                f"To start all of its rows again that failed or were cancelled, {put_request(batch, 'retry')}, or use "
                "`avatar batch retry-failed`.",
            )
        assert job.facts.row is not None  # its batch has ended
        with self._earlier.starting_again(batch.id):
            taken = await self._disk.run(self._earlier.take_over, batch.id)
            if (found := self._ended_still(batch)) is None:
                return await self._run(dict(request))
            if (other := taken.rows.get(job.facts.row.number)) is not None:
                raise JobError(
                    "job-not-failed",
                    f"Row {job.facts.row.number} of {batch.name} is done: {other}, a batch of its report, has made it since.",
                    "To have it once more, empty its cell in the column `_state` of the report, and put that into the inbox.",
                )
            await self._begin(*found, request, by, job.id)
        return f"{job.name} starts again, and its batch {batch.name} goes on until it has ended."

    def _ended_still(self, batch: Job) -> tuple[Job, Path] | None:
        """Return a batch that had ended a moment ago, and its folder, as they are now; None where its rows run again.

        Raises:
            JobError: `job-not-failed`: they are being started again.
        """
        if self._batches.is_beginning(batch.id) and self._batches.running(batch.id) is None:
            what = f"The rows of {batch.name} are being started again at this moment."
            raise JobError("job-not-failed", what, "Ask again when its status says that it runs.")
        return self._ended(batch.id)

    async def _begin(self, batch: Job, place: Path, request: Mapping[str, Any], by: str, only: str = "") -> None:
        if batch.state != "done":  # its name is free meanwhile
            batch.name = self._outbox.reserve_name(batch.name, batch.id, status_of(batch))
        batch.note("retry", by=by)
        _counts(batch).stopped, batch.warnings = "", []
        await self._batches.begin_again(batch, place, request, only)


def _made(rows: Mapping[int, str]) -> str:
    return f"{len(rows)} {'was' if len(rows) == 1 else 'were'} made since by {', '.join(sorted({*rows.values()}))}"


def _gone(rows: int) -> str:
    whose = "its job is" if rows == 1 else "their jobs are"
    return f"; {rows} cannot, since {whose} not kept any more: for that, put its report into the inbox" if rows else ""


def _counts(batch: Job) -> BatchCounts:
    counts = batch.facts.batch
    assert counts is not None  # its rows became jobs
    return counts
