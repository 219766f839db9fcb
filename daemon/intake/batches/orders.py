"""Carries out on the rows of a batch what people ask for all of them: hold, release, cancel, retry, or another priority.

Thousands of rows take minutes, in which other requests must be heard and no row may start that is about to be held. So this is
done in turns, and the batch's record says what is left to do, also after a restart.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from daemon.errors import AvatarError, JobError
from daemon.intake.batches.running_batch import RunningBatch
from daemon.intake.fair_queue import TURN_S
from daemon.jobs.record import Job
from daemon.queue.state_machine import StateMachine

log = structlog.get_logger()

#: Tells a request that is made of an order from one for this row alone.
_FOR_ALL = "for_all"


def retry_order(request: Mapping[str, Any], batch: Job, only: str = "") -> dict[str, Any]:
    """Return the order to start rows of a batch again that did not end well. `only`: id of one job; empty for all."""
    # Rows that ended later have been started again. No earlier than the batch ended, should the clock have been set back.
    return {**request, "op": "retry", "only": only, "since": max(time.time(), batch.finished or 0.0)}


class RowOrders:
    """Carries out orders for whole batches.

    Args:
        run: runs a request on a row's job.
        batches: those that run, by their ids.
    """

    def __init__(
        self,
        state_machine: StateMachine,
        run: Callable[[dict[str, Any]], Awaitable[None]],
        batches: Mapping[str, RunningBatch],
    ) -> None:
        self._state_machine = state_machine
        self._run = run
        self._batches = batches

    async def give(self, batch: RunningBatch, order: dict[str, Any]) -> tuple[int, int]:
        """Save a batch whose record was changed with a new order for its rows, and begin with it.

        Returns:
            How many rows took it, and how many are left.
        """
        orders = batch.counts.orders
        if order["op"] == "hold":
            # Before priorities and retries, so that no row starts; a retry then holds its rows (`BatchKeeper.hold_of_row`). It
            # replaces what is left of a release.
            orders[:] = [order, *(other for other in orders if other["op"] in ("priority", "retry"))]
            batch.unordered = None
        else:
            if order["op"] in ("release", "priority"):  # it stands for those of its kind that have not begun
                first = orders[:1] if batch.unordered is not None else []
                orders[:] = [*first, *(other for other in orders[len(first) :] if other["op"] != order["op"])]
            orders.append(order)
            batch.counts.reordered |= order["op"] == "priority"
        await self._state_machine.save(batch.job, batch.place)
        took = await self.carry_out(batch, order)
        left = batch.counts.orders
        if not any(other is order for other in left):
            return took, 0
        begun = left[0] is order and batch.unordered is not None
        return took, len(batch.unordered or ()) if begun else len(batch.unfinished(self._state_machine.spool))

    async def row_asked(self, job: Job, request: Mapping[str, Any]) -> None:
        """Note that somebody asks for something for one job, which may be a row's: what was asked for all rows before, and has
        not reached it, must not undo that later.
        """
        batch = self._batches.get(job.facts.row.batch) if job.facts.row else None
        undone_by = {"hold": "release", "priority": "priority"}.get(request["op"])
        if batch is None or _FOR_ALL in request:
            return
        if before := [order for order in batch.counts.orders if order["op"] == undone_by]:
            for order in before:
                order["but"] = [*order.get("but", ()), job.id]
            await self._state_machine.save(batch.job, batch.place)

    async def carry_out(self, batch: RunningBatch, counted: dict[str, Any] | None = None) -> int:
        """Carry out the orders for the rows of a batch, the first one first, for a turn's time. Returns how many rows took the
        order `counted`.
        """
        until, took = time.monotonic() + TURN_S, 0
        async with batch.ordering:
            while batch.counts.orders and batch.rows is not None:  # else its next step goes on, when it has read them
                order = batch.counts.orders[0]
                if batch.unordered is None:
                    batch.unordered = self._rows(batch, order)
                while batch.unordered:
                    if time.monotonic() >= until:
                        return took
                    took += await self._take(batch.unordered[-1], order) and order is counted
                    if batch.unordered:  # it was not cancelled meanwhile
                        batch.unordered.pop()
                if batch.unordered is None:  # it was cancelled, or a hold goes first
                    continue
                if batch.makes_rows:  # those are next (`rows_made`); after a crash, all of them
                    break
                batch.unordered = None
                batch.counts.orders.remove(order)
                if order["op"] == "retry":
                    batch.outcomes_known = False  # some were not started again: their jobs are gone, or have ended well
                await self._state_machine.save(batch.job, batch.place)
        return took

    async def take_back(self, batch: RunningBatch) -> None:
        """Note durably, where rows are being started again, that these have not ended: those without jobs are made, too."""
        if (order := batch.retry) is not None:
            await self._state_machine.durable.retry(lambda: batch.outcomes.take_back(order["only"]), batch.job)

    async def rows_made(self, batch: RunningBatch, jobs: Sequence[str]) -> None:
        """Carry out an order that came while rows were being made on the jobs that these are now, too."""
        batch.makes_rows = False
        if batch.unordered is not None:
            batch.unordered = [*jobs, *batch.unordered]
        await self.carry_out(batch)

    async def cancel(self, batch: RunningBatch, by: str) -> bool:
        """Cancel the jobs of the rows that have not ended, for a turn's time. Returns whether none is left.

        Args:
            by: who cancels them; empty where `on_error` does, by which those that run may end.
        """
        unfinished = batch.unfinished(self._state_machine.spool)
        self._start_none(unfinished)  # while the others are cancelled
        until = time.monotonic() + TURN_S
        for job_id in unfinished:
            if time.monotonic() >= until:
                return False
            if by or job_id not in self._state_machine.running:
                try:
                    await self._run({"op": "cancel", "job": job_id, "by": by or "`on_error` of the batch"})
                except AvatarError as exc:  # it ended meanwhile, or goes on to be cancelled
                    log.info("row not cancelled", job_id=job_id, why=exc.message)
        return True

    def _rows(self, batch: RunningBatch, order: dict[str, Any]) -> list[str]:
        """Return the jobs of the rows that have not ended; those that run come last, since the end is taken first."""
        jobs = batch.unfinished(self._state_machine.spool)
        if order["op"] == "hold":
            self._start_none(jobs)  # while the others are held
        if order["op"] == "retry":
            return [job_id for job_id in reversed(jobs) if order["only"] in ("", job_id)]
        return sorted(jobs, key=self._state_machine.running.__contains__)

    def _start_none(self, jobs: Sequence[str]) -> None:
        for job_id in jobs:
            self._state_machine.ready_queue.remove(job_id)

    async def _take(self, job_id: str, order: dict[str, Any]) -> bool:
        if job_id in order.get("but", ()):
            return False
        try:
            await self._run({**order, "job": job_id, _FOR_ALL: True})
        except JobError:  # such as one that is not held, or has ended meanwhile
            return False
        return True
