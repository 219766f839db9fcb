"""Brings jobs whose stage is over to their next places, while the slots of a lane go on with other jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from daemon.errors import AvatarError, MachineError, WorkerDied, WorkerLost, from_exception, traceback_of
from daemon.jobs.record import Job
from daemon.queue.ready_queue import Ticket
from daemon.queue.state_machine import StateMachine
from daemon.wire import Result
from daemon.workers.fault_pauses import FaultPauses
from daemon.workers.slot import Slot

log = structlog.get_logger()

#: Brings a job whose stage is over to its next place.
End = Callable[[], Awaitable[None]]


class PuttingDown:
    """Puts the jobs of a lane down. `lane`: its title; `pauses`: after faults of the machine."""

    def __init__(self, lane: str, state_machine: StateMachine, pauses: FaultPauses) -> None:
        self._lane, self._state_machine, self._pauses = lane, state_machine, pauses

    async def begin(self, slot: Slot, ticket: Ticket, end: End) -> None:
        """Begin to put down the job of a slot. Returns when the slot may take another one: one job of each slot is put down at
        a time, so that no more than that is lost to a slow disk.
        """
        job = slot.job
        assert job is not None
        self._state_machine.begin_to_put_down(job)
        try:
            if slot.putting_down is not None:
                await slot.putting_down
        finally:
            slot.putting_down = asyncio.create_task(self._put_down(job, ticket, end), name=f"{slot.name} puts down")
        await asyncio.sleep(0)  # it enters its next queue, so that it is among those of which the slot chooses

    async def _put_down(self, job: Job, ticket: Ticket, end: End) -> None:
        try:
            await end()
        except Exception as exc:
            await self.recover(job, ticket, exc)
        finally:
            self._state_machine.end_putting_down(job)

    async def recover(self, job: Job | None, ticket: Ticket, trouble: Exception) -> None:
        """Bring a job into a valid state after an unexpected error. `job`: None if it was not started."""
        log.error("lane step failed", lane=self._lane, job_id=ticket.id, exc_info=trouble)
        error = from_exception(trouble)
        error.traceback = traceback_of(trouble)
        self._state_machine.running.pop(ticket.id, None)
        if job is None:  # it is still in its queue
            self._pauses.begin(error)
            return
        directory = self._state_machine.spool.active(ticket.stage) / ticket.id
        try:
            if isinstance(error, MachineError):
                self._pauses.begin(error)
                await self._state_machine.put_back(job, directory)
            else:
                await self._state_machine.fail_attempt(job, directory, error)
        except Exception:
            log.exception("job left where it is", job_id=ticket.id)  # recovered at the next start

    async def advance(self, job: Job, directory: Path, result: Result, take_results: Callable[[], None] | None) -> None:
        """Bring a job whose stage ended well to its next one. `take_results`: see `Worker.take_results`."""
        machine = self._state_machine
        if take_results is not None:
            try:
                await machine.durable.retry(take_results, job)
            except WorkerLost as loss:
                await self.after(loss, job, directory, draining=False)()
                return
        await machine.advance(job, directory, result.facts, result.warnings)

    def after(self, trouble: WorkerDied | AvatarError, job: Job, directory: Path, *, draining: bool) -> End:
        """Return how to put down a job whose stage did not end well. `draining`: its worker was ended, as the daemon stops."""
        machine = self._state_machine
        if isinstance(trouble, MachineError):
            self._pauses.begin(trouble)
            return partial(machine.put_back, job, directory)
        if not isinstance(trouble, WorkerDied):
            return partial(machine.fail_attempt, job, directory, trouble)
        if draining:
            return partial(machine.put_back, job, directory, "returned")
        machine.events.worker_died(self._lane, trouble.code)
        if isinstance(trouble, WorkerLost):
            return partial(machine.record_loss, job, directory, trouble)
        return partial(machine.record_crash, job, directory, trouble)
