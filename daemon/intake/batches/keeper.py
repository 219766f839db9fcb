"""Carries batches on: makes the jobs of their rows, a few at a time, notes how these end, and writes the report.

A batch whose rows are checked lies in `spool/batches`. All that a start needs stands in its folder and in the records of its
rows' jobs, whose ids follow from the batch's: so each row becomes one job, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, from_exception
from daemon.events import Subscriber
from daemon.intake.batches.ending import ON_ERROR, ending_of
from daemon.intake.batches.orders import RowOrders, retry_order
from daemon.intake.batches.outcomes import Outcome, Outcomes
from daemon.intake.batches.resolved_rows import ResolvedRows
from daemon.intake.batches.row_results import RowResults
from daemon.intake.batches.running_batch import REPORT_S, SLICE, RunningBatch
from daemon.intake.fair_queue import TURN_S
from daemon.intake.jobs.claimed import NextTurn
from daemon.intake.jobs.job_builder import JobBuilder
from daemon.jobs.facts import Output
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Held, Job, row_id
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.queue.state_machine import StateMachine
from daemon.system.disk_thread import DiskThread
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

#: Reports are written for this part of the time only.
REPORT_SHARE = 0.02
#: Rows that end within this time are counted at once, s.
DEBOUNCE_S = 0.05


class BatchKeeper(Subscriber):
    """Carries the batches of a spool on.

    Args:
        builder: makes the jobs, in the thread `disk`, in which manifests become jobs too.

    Attributes:
        run: runs a request on a row's job; set by the service, whose parts need each other.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        outbox: Outbox,
        state_machine: StateMachine,
        builder: JobBuilder,
        disk: DiskThread,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._state_machine = state_machine
        self._builder = builder
        self._disk = disk
        self._results = RowResults(settings.paths.inbox, spool, outbox)
        self._batches: dict[str, RunningBatch] = {}
        self.orders = RowOrders(state_machine, self._run, self._batches)
        #: Batches whose rows are being started again.
        self._beginning: set[str] = set()
        self._wake = Wakeup()
        self.run: Callable[[dict[str, Any]], Awaitable[str]] | None = None

    # -- what happens to jobs ------------------------------------------------------------------------------------

    def batch_begun(self, job: Job) -> None:
        self._begin(job, self._spool.batches / job.id)

    def job_accepted(self, job: Job) -> None:
        row = job.facts.row
        batch = self._batches.get(row.batch) if row else None
        if row is None or batch is None:
            return
        batch.note_made(row.number)
        if batch.job.held or batch.counts.stopped:  # since it was begun to be made
            self._state_machine.ready_queue.remove(job.id)

    def job_finished(self, job: Job) -> None:
        if job.facts.row is not None:
            self._note(job, Outcome.of_job(job))
        else:
            self._batches.pop(job.id, None)

    def job_changed(self, job: Job) -> None:
        if (row := job.facts.row) is None or (batch := self._batches.get(row.batch)) is None:
            return
        if job.state == "queued":
            self._note(job, None)  # if it had ended, it was started again
            if batch.may_not_start(job.id):
                self._state_machine.ready_queue.remove(job.id)
        if (job.state == "held") != (job.id in batch.held):
            batch.held ^= {job.id}
            self._wake.notify()

    def _note(self, job: Job, outcome: Outcome | None) -> None:
        row = job.facts.row
        batch = self._batches.get(row.batch) if row else None
        if row is not None and batch is not None and (outcome is not None or row.number in batch.outcomes):
            batch.runs_again(row.number)  # also where its end comes first after a crash
            batch.outcomes.note(row.number, outcome)
            batch.changed = True
            if batch.has_failed_too_often:
                self._stop(batch, ON_ERROR)
            self._wake.notify()

    def _stop(self, batch: RunningBatch, why: str) -> None:
        """Stop a batch: none of its rows starts from now on, and they are cancelled at the next step."""
        batch.stop(why)
        for number in batch.rows.numbers[: batch.counts.taken + SLICE] if batch.rows else ():
            self._state_machine.ready_queue.remove(row_id(batch.job.id, number))

    def _begin(self, job: Job, place: Path) -> None:
        self._batches[job.id] = RunningBatch(job, place, Outcomes(place), Manifest.model_validate(job.manifest))
        self._wake.notify()

    # -- what people ask for -------------------------------------------------------------------------------------

    def running(self, job_id: str) -> Job | None:
        """Return the record of a batch that runs; None if there is none of that id."""
        return batch.job if (batch := self._batches.get(job_id)) else None

    def all_running(self) -> list[Job]:
        """Return the records of the batches that run."""
        return [batch.job for batch in self._batches.values()]

    def unfinished(self, job_id: str) -> list[str]:
        """Return the ids of the jobs of a batch that runs which have been made and have not ended."""
        batch = self._batches.get(job_id)
        return batch.unfinished(self._spool) if batch else []

    async def stop(self, job_id: str, by: str) -> int:
        """Cancel what has not ended of a batch that runs; it is done by itself. Returns how many rows that are."""
        batch = self._batches[job_id]
        self._stop(batch, by or "somebody")
        batch.job.note("cancelled", by=by)
        await self._state_machine.save(batch.job, batch.place)
        self._wake.notify()
        return batch.counts.rows - batch.counts.ended

    async def order(self, job_id: str, request: dict[str, Any]) -> tuple[int, int]:
        """Save a changed batch, and run a request on its rows that have not ended. Returns how many took it, how many will."""
        try:
            return await self.orders.give(self._batches[job_id], request)
        finally:
            self._wake.notify()

    def hold_of_row(self, job: Job) -> Held | None:
        """Return the hold that a row's job takes when it is started again with all rows; None where it starts."""
        batch = self._batches.get(job.facts.row.batch) if job.facts.row else None
        return batch.job.held if batch is not None and batch.retry is not None else None

    def is_beginning(self, job_id: str) -> bool:
        """Return whether the rows of a batch are being started again."""
        return job_id in self._beginning

    async def begin_again(self, job: Job, place: Path, request: Mapping[str, Any], only: str = "") -> None:
        """Start the rows of a batch that has ended again which failed or were cancelled: some at once, and the others in turns.

        Args:
            place: the folder of the batch.
            request: as which a row's job is started again.
            only: id of the one job that is started again, with the rows that get its result; empty for all.
        """
        self._beginning.add(job.id)  # all its rows have ended until they are started again
        try:
            assert job.facts.batch is not None  # its rows became jobs
            # With the move: where a crash comes after it, the next start goes on with it.
            job.facts.batch.orders = [retry_order(request, job, only)]
            await self._state_machine.begin_batch(job, place)
            batch = self._batches[job.id]
            await self.orders.take_back(batch)  # failures count anew
            batch.count_ended()
            self._state_machine.events.job_changed(job)
            await self._load_rows(batch)
            await self.orders.carry_out(batch)
        finally:
            self._beginning.discard(job.id)
            self._wake.notify()

    # -- carrying on ---------------------------------------------------------------------------------------------

    async def loop(self) -> None:
        """Carry batches on, until cancelled."""
        await self.resume()
        while True:
            heard = self._wake.notifications
            await self._wake.wait(await self.carry_on(), heard)
            await asyncio.sleep(DEBOUNCE_S)

    async def resume(self) -> None:
        """Take up the batches that lie in the spool, with their rows, so that requests for them reach all of these."""
        for place in list(self._spool.job_folders(self._spool.batches)):
            if place.name not in self._batches:
                await self._resume(place)

    async def carry_on(self) -> float | None:
        """Carry each batch on for a step. Returns in how many seconds there is something to do without another event; None where
        there is nothing.
        """
        return min([await self._step_or_wait(batch) for batch in list(self._batches.values())], default=None)

    async def _resume(self, place: Path) -> None:
        try:
            job = self._spool.load_job(place)
            if job.facts.batch is None:
                raise ValueError("it has no counts of its rows")
            self._begin(job, place)
        except ValueError as exc:
            await self._state_machine.set_aside_unreadable(place, str(exc))
            return
        except OSError as exc:
            log.error("batch left where it is", job_id=place.name, error=str(exc))
            return
        # Its first step tries again what fails, and says what is wrong.
        with contextlib.suppress(OSError, ValueError, AvatarError):
            rows = await self._load_rows(batch := self._batches[job.id])
            if batch.counts.stopped:
                self._stop(batch, batch.counts.stopped)
            await self.orders.take_back(batch)  # a crash may have come before it
            # Before a row starts that has failed once more, or though too many have.
            if batch.manifest.most_failures is not None or batch.retry:
                await self._find_ended(batch, rows)
            await self.orders.carry_out(batch)  # before a row starts that is to be held

    async def _load_rows(self, batch: RunningBatch) -> ResolvedRows:
        if batch.rows is None:
            batch.rows = await self._disk.run(ResolvedRows, batch.place)
            batch.note_made(*batch.made_beyond(self._spool))
            batch.held = {place.name for place in self._spool.job_folders(self._spool.resting("held"))}
        return batch.rows

    async def _step_or_wait(self, batch: RunningBatch) -> float:
        """Carry a batch on for a step; returns in how many seconds there is something to do without another event."""
        now = time.monotonic()
        if batch.job.id in self._beginning:
            return REPORT_S
        if batch.retry_due > now:
            return batch.retry_due - now
        try:
            wait = await self._step(batch)
        except Exception as exc:  # one batch must not stop the others
            if not isinstance(exc, AvatarError | OSError):
                log.exception("batch failed", job_id=batch.job.id)
            else:
                log.warning("batch waits", job_id=batch.job.id, why=str(exc), next_try_s=batch.retry_s)
            batch.postpone(time.monotonic())
            self._say_why_it_waits(batch, from_exception(exc))
            return batch.retry_due - time.monotonic()
        if batch.retry_due <= now:
            batch.was_carried_on()
            self._say_why_it_waits(batch, None)
        return wait

    def _say_why_it_waits(self, batch: RunningBatch, error: AvatarError | None) -> None:
        if batch.note_wait(error) and batch.job.id in self._batches:
            self._state_machine.events.job_changed(batch.job)

    async def _step(self, batch: RunningBatch) -> float:
        rows = await self._load_rows(batch)
        if not batch.outcomes_known:
            await self._find_ended(batch, rows)
        counts = batch.counts
        if counts.stopped:
            await self._state_machine.save(batch.job, batch.place)
            if await self._cancel_rest(batch):
                await self._tell(batch)
                return 0.0
        elif counts.orders:
            await self.orders.carry_out(batch)
            await self._tell(batch)
            return 0.0
        elif not batch.job.held and counts.taken < len(rows):
            await self._take(batch, rows)
            wait = 0.0 if batch.retry_due <= time.monotonic() else batch.retry_due - time.monotonic()
            return min(wait, await self._tell(batch))
        # The other batches have their turn, and a hold is heard, before all copies are made.
        unfinished = not batch.job.held and await self._give_to_twins(batch, rows)
        wait = await self._tell(batch)
        return 0.0 if unfinished else wait

    async def _find_ended(self, batch: RunningBatch, rows: ResolvedRows) -> None:
        """Note what a crash took: how rows have ended, or that they run again. The records of their jobs say it."""
        batch.outcomes_known = True
        for number, before, now in await self._disk.run(self._results.unknown_ends, batch, rows):
            if batch.outcomes.get(number) is not before:  # it has ended meanwhile
                continue
            if now is None:
                batch.runs_again(number)
            else:
                batch.outcomes.note(number, now)
        if batch.has_failed_too_often:
            self._stop(batch, ON_ERROR)

    async def _take(self, batch: RunningBatch, rows: ResolvedRows) -> None:
        """Make the jobs of the next rows."""
        batch.makes_rows, made = True, list[str]()
        try:
            if batch.slice is None:
                self._builder.begin(batch.job.id)
                batch.slice = await self._disk.run(batch.next_slice, rows)
                batch.slice_since = time.monotonic()
            claimed, lines = batch.slice
            made = [row_id(batch.job.id, number) for number in claimed.rows.numbers] if claimed.rows else []
            items = [claimed] if claimed.items else []
            _, postponed = await self._disk.run(partial(self._builder.make, items, new=False))
        finally:
            await self.orders.rows_made(batch, made)
        error = postponed.get(claimed.claim)
        if isinstance(error, NextTurn):
            return
        if error is not None:
            batch.wait_for(error, time.monotonic(), self._settings.intake.companion_wait_s)
            self._state_machine.events.job_changed(batch.job)
            return
        batch.took(lines)
        await self._state_machine.save(batch.job, batch.place)
        self._state_machine.changed.notify()

    async def _cancel_rest(self, batch: RunningBatch) -> bool:
        """Cancel the rows that have not ended, for a turn's time. Where rows failed too often, those that run may end. Returns
        whether some are left.
        """
        if not await self.orders.cancel(batch, "" if batch.counts.stopped == ON_ERROR else batch.counts.stopped):
            return True
        batch.cancel_rows_without_jobs(self._spool)
        return False

    async def _give_to_twins(self, batch: RunningBatch, rows: ResolvedRows) -> bool:
        """Give rows that are equal to another one the result of that, for a turn's time. Returns whether some are left."""
        until = time.monotonic() + TURN_S
        for first, twins in rows.twins.items():
            outcome = batch.outcomes.get(first)
            if outcome is None:
                continue
            for number, at in twins:
                if number in batch.outcomes:
                    continue
                if time.monotonic() >= until:
                    return True
                copied = await self._disk.run(self._results.copy_for, batch, rows, first, at, outcome)
                batch.outcomes.note(number, copied)
                if batch.has_failed_too_often:
                    self._stop(batch, ON_ERROR)
                batch.changed = True
        return False

    async def _run(self, request: dict[str, Any]) -> None:
        assert self.run is not None  # set by the service
        await self.run(request)

    # -- telling -------------------------------------------------------------------------------------------------

    async def _tell(self, batch: RunningBatch) -> float:
        """Count, write the report where it is time to, and end the batch where all rows have ended."""
        assert batch.rows is not None
        counts, found = batch.counts, batch.count_ended()
        if batch.count_held():
            await self._state_machine.save(batch.job, batch.place)
        ended = counts.ended >= len(batch.rows)
        now = time.monotonic()
        if not ended and (not batch.changed or now < batch.report_due):
            if batch.status_is_due(now):
                self._state_machine.events.job_changed(batch.job)
            return max(0.0, min(batch.report_due, batch.status_due) - now) if batch.changed else REPORT_S
        if ended:
            await self._disk.run(batch.outcomes.save)
        written = await self._disk.run(self._results.publish_tables, batch, batch.rows)
        batch.report_due = time.monotonic() + max(REPORT_S, (time.monotonic() - now) / REPORT_SHARE)
        batch.changed = False
        counts.report = str(written[-1]["file"])
        if ended and batch.outcomes.counts() == found:  # no row was started again meanwhile
            await self._finish(batch, written)
            return REPORT_S
        await self._state_machine.save(batch.job, batch.place)
        return REPORT_S

    async def _finish(self, batch: RunningBatch, written: list[Output]) -> None:
        job = batch.job
        ending = ending_of(batch.counts, written[-1]["file"].rpartition("/")[2])
        if given := [table for table in written if table["file"]]:
            job.outputs = {"outputs": given}
        told = [ending.warning, await self._disk.run(self._results.added_rows, batch)]
        job.warnings = [*job.warnings, *filter(None, told)]
        await self._state_machine.finish(job, batch.place, ending.state, ending.error)
