"""The operations that people may request on jobs and on the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from daemon.control.batch_retries import BatchRetries
from daemon.errors import JobError, UnavailableError, UnknownError
from daemon.events import Events
from daemon.intake.admission import Admission
from daemon.intake.batches.keeper import BatchKeeper
from daemon.jobs.iso_time import iso
from daemon.jobs.record import FINISHED, JOB_ID, Held, Job
from daemon.jobs.untrusted import printable
from daemon.outbox.status_file import next_step, status_of
from daemon.outbox.way_back import put_request, why_no_retry
from daemon.queue.pauses import SCOPES, Pause, Pauses, Scope
from daemon.queue.state_machine import StateMachine
from daemon.system.disk_thread import DiskThread
from daemon.workers.lane import Lane

Request = dict[str, Any]

MAX_PRIORITY = 100
#: How long a cancelled job may take to leave its stage, after `lanes.cancel_s`, until the one who asked is told to wait, in s.
CANCEL_S = 10.0
AGAIN_S = 0.5  # between two tries to end its child
#: Longest pause that has an end, in s: 10,000 days.
_LONGEST_PAUSE_S = 864_000_000
MAX_REASON = 200  # characters kept of what a person writes


class Operations:
    """Runs requested operations on jobs and on the queue; each returns one sentence for the person who asked."""

    def __init__(
        self,
        state_machine: StateMachine,
        admission: Admission,
        lanes: list[Lane],
        pauses: Pauses,
        events: Events,
        disk: DiskThread,
        batches: BatchKeeper,
    ) -> None:
        self._state_machine = state_machine
        self._batches = batches
        self._retries = BatchRetries(
            state_machine, admission.outbox, batches, admission.claims.builder.earlier, disk, self.run_request
        )
        self._disk = disk
        self._admission = admission
        self._outbox = admission.outbox
        self._lanes = lanes
        self._pauses = pauses
        self._events = events
        self._known: dict[str, Callable[[Request], Awaitable[str]]] = {
            "cancel": self._cancel,
            "hold": self._hold,
            "release": self._release,
            "retry": self._retry,
            "priority": self._priority,
            "change": self._change,
            "pause": self._pause,
            "resume": self._resume,
        }

    async def run_request(self, request: Request) -> str:
        """Run one request.

        Raises:
            JobError: the operation is unknown, or does not fit the job's state.
        """
        operation = self._known.get(str(request.get("op")))
        if operation is None:
            raise JobError(
                "control-unknown", f"{request.get('op')!r} is not a request.", f"Known: {', '.join(self._known)}."
            )
        return await operation(request)

    # -- one job -------------------------------------------------------------------------------------------------

    async def _cancel(self, request: Request) -> str:
        by = _by(request) if request.get("by") else ""
        if (name := request.get("manifest")) is not None:
            return await self._withdraw(str(name), by)
        job_id = _job_id(request)
        if (name := self._admission.waiting(job_id)) is not None:
            return await self._withdraw(name, by)
        for lane in self._lanes:
            if await lane.cancel(job_id, by):
                return await self._cancelled(job_id, by)
        if (batch := self._batches.running(job_id)) is not None:
            left = await self._batches.stop(job_id, by)
            return f"{batch.name} is being cancelled: {left} of its rows have not ended."
        job, directory = await self._find(job_id)
        self._unfinished(job)
        return await self._cancel_resting(job, directory, by)

    async def _cancel_resting(self, job: Job, directory: Path, by: str) -> str:
        """Cancel a job that waits, is held, or is about to start."""
        self._state_machine.ready_queue.remove(job.id)
        await self._state_machine.cancel(job, directory, by)
        return f"{job.name} is cancelled."

    async def _cancelled(self, job_id: str, by: str) -> str:
        """Wait until a cancelled job has left its stage: before that it is not on disk, and a crash would bring the job back."""
        deadline = time.monotonic() + self._state_machine.settings.lanes.cancel_s + CANCEL_S
        while True:
            heard = self._state_machine.changed.notifications
            if job_id not in self._state_machine.running:
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    "answer-late",
                    f"{job_id} is being cancelled; the disk has not taken it yet.",
                    "`avatar status` says why.",
                )
            if not await self._state_machine.changed.wait(AGAIN_S, heard):
                for lane in self._lanes:  # its child was only just being started when it was first told to end
                    await lane.cancel(job_id, by)
        job, directory = await self._find(job_id)
        if job.state not in FINISHED:  # its stage had ended before it was told to, and the job went back into its queue
            return await self._cancel_resting(job, directory, by)
        if job.state != "cancelled":
            raise UnknownError(
                "internal-error", f"{job.name} could not be cancelled, it is {job.state}.", "See the log."
            )
        return f"{job.name} is cancelled."

    async def _withdraw(self, name: str, by: str) -> str:
        """Cancel a manifest that is still in the inbox; `name` is its path there, `by` who asked for it."""
        try:
            job = await asyncio.wait_for(self._disk.run(self._admission.cancel, name, by), CANCEL_S)
        except TimeoutError as exc:
            raise UnavailableError(
                "answer-late",
                f"{name} is being cancelled; the inbox has not answered yet.",
                "`avatar status` says why.",
            ) from exc
        if job is None:
            raise JobError(
                "control-invalid", f"{name!r} is not a manifest.", "Name a .yaml file by its path below the inbox."
            )
        return f"{printable(name)} is cancelled, as {job.name}."

    async def _hold(self, request: Request) -> str:
        job_id = _job_id(request)
        if self._waits(job_id):
            held: Held = {"by": _by(request), "reason": _reason(request), "since": time.time()}
            waiting = await self._disk.run(self._admission.hold, job_id, held)
            return f"{waiting.name} is held: it is taken in when its files are there, and starts when it is released."
        if (batch := self._running_batch(job_id)) is not None:
            batch.held = {"by": _by(request), "reason": _reason(request), "since": time.time()}
            batch.note("held", by=_by(request), reason=_reason(request))
            count, left = await self._batches.order(job_id, request)
            more = f", and {left} more are being held, of which none starts" if left else ""
            rows = (
                "" if not count else f", and so are {count} of its rows" if count > 1 else ", and so is one of its rows"
            )
            return f"{batch.name} is held{rows}{more}; rows that run finish their stage."
        job, directory = await self._find(job_id)
        self._unfinished(job)
        await self._batches.orders.row_asked(job, request)
        if job.held and job.state != "queued":
            return f"{job.name} is held already."
        await self._state_machine.hold(job, directory, _by(request), _reason(request))
        return f"{job.name} will be held after its present stage." if job.state == "running" else f"{job.name} is held."

    async def _release(self, request: Request) -> str:
        job_id = _job_id(request)
        if self._waits(job_id):
            waiting = await self._disk.run(self._admission.hold, job_id, None)
            return f"{waiting.name} is not held any more: it starts when its files are there."
        if (batch := self._held_batch(job_id)) is not None:
            batch.held = None
            batch.note("released", by=_by(request))
            released, left = await self._batches.order(job_id, request)
            held = f", with {released} of its rows that {'were' if released != 1 else 'was'} held" if released else ""
            more = f"; {left} more are looked at" if left else ""
            return f"{batch.name} goes on{held}{more}."
        job, directory = await self._find_held(job_id)
        await self._state_machine.release(job, directory, _by(request))
        return f"{job.name} goes on."

    async def _change(self, request: Request) -> str:
        """Give a job another priority, and hold it back or let it go on: both, or neither where one of them cannot be."""
        job_id, held = _job_id(request), request.get("held")
        if not isinstance(held, bool):
            raise JobError("control-invalid", f"{held!r} does not say whether to hold.", "`held` is true or false.")
        if not held and self._held_batch(job_id) is None:
            await self._find_held(job_id)
        said = await self._priority({**request, "op": "priority"})
        if not held:
            return f"{said} {await self._release({**request, 'op': 'release'})}"
        return f"{said} {await self._hold({**request, 'op': 'hold'})}"

    async def _priority(self, request: Request) -> str:
        job, directory = await self._find(_job_id(request))
        self._unfinished(job)
        value = request.get("priority")
        if not isinstance(value, int) or abs(value) > MAX_PRIORITY:
            raise JobError(
                "control-invalid",
                f"{value!r} is not a priority.",
                f"It is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}.",
            )
        if (batch := self._running_batch(job.id)) is not None:
            batch.priority = value
            count, left = await self._batches.order(job.id, request)
            more = f"; {left} more are given it" if left else ""
            return f"{batch.name} has priority {value}, and so have {count} of its rows{more}."
        await self._batches.orders.row_asked(job, request)
        await self._state_machine.prioritise(job, directory, value, _by(request))
        return f"{job.name} has priority {value}."

    async def _retry(self, request: Request) -> str:
        job, directory = await self._find(_job_id(request))
        if job.facts.batch is not None and job.state in FINISHED:
            return await self._retries.all_rows(job, request, _by(request))
        if job.state not in ("failed", "cancelled"):
            if self._batches.running(job.id) is not None:
                raise self._still_runs(job)
            raise JobError(
                "job-not-failed",
                f"{job.name} is {job.state}; only failed and cancelled jobs can be started again.",
                why_no_retry(job),
            )
        if not job.was_accepted:
            raise JobError(
                "job-not-accepted",
                f"{job.name} was {'cancelled' if job.state == 'cancelled' else 'refused'} before it was taken in; nothing is "
                "there to start again.",
                next_step(job, self._outbox.root),
            )
        if (batch := self._retries.ended_batch(job)) is not None:
            return await self._retries.one_row(job, batch[0], request, _by(request))
        before = job.name
        job.note("retry", by=_by(request))
        job.error, job.finished, job.attempts, job.crashes, job.interruptions = None, None, {}, 0, 0
        job.held, job.warnings = self._batches.hold_of_row(job), []
        job.not_before, job.stage = 0.0, job.stages[0]
        # A failed job's name is free, so that another may have taken it, or take it in this moment.
        job.state = "queued"
        job.name = self._outbox.reserve_name(job.name, job.id, status_of(job))
        await self._state_machine.enqueue(job, directory)
        return f"{before} starts again{f', as {job.name}' if job.name != before else ''}."

    def _running_batch(self, job_id: str) -> Job | None:
        """Return the batch that runs under an id.

        Raises:
            JobError: `job-finished`: it was stopped, and its rows are being cancelled.
        """
        batch = self._batches.running(job_id)
        if batch is not None and batch.facts.batch is not None and batch.facts.batch.stopped:
            what = f"The rows of {batch.name} are being cancelled already."
            raise JobError("job-finished", what, "They can be started again when its status says that it has ended.")
        return batch

    def _held_batch(self, job_id: str) -> Job | None:
        """Return the batch that runs under an id where something of it is held."""
        batch = self._running_batch(job_id)
        return batch if batch is not None and (batch.held or self._held_rows(job_id)) else None

    async def _find_held(self, job_id: str) -> tuple[Job, Path]:
        job, directory = await self._find(job_id)
        self._unfinished(job)
        if not job.held and job.state != "held":
            raise JobError(
                "job-not-held",
                f"{job.name} is not held, so that nothing is to be released.",
                "Nothing needs to be done: it goes on by itself.",
            )
        return job, directory

    def _held_rows(self, batch: str) -> int:
        """Return how many rows of a batch that runs are held."""
        held = self._state_machine.spool.resting("held")
        return sum((held / job_id).is_dir() for job_id in self._batches.unfinished(batch))

    def _still_runs(self, batch: Job) -> JobError:
        """Return why the rows of a batch that runs are not started again, and what to do where it stands still."""
        held = self._held_rows(batch.id)
        still = "; the batch is held" if batch.held else ""
        if held:
            still = f"; {held} of those that have not ended {'is' if held == 1 else 'are'} held"
        return JobError(
            "job-not-failed",
            f"{batch.name} is running: its failed rows can be started again when all of its rows have ended{still}.",
            f"To let them go on, {put_request(batch, 'release')}, or cancel them." if still else why_no_retry(batch),
        )

    def _waits(self, job_id: str) -> bool:
        """Return whether a job is no job yet: its manifest waits in the inbox."""
        return self._admission.waiting(job_id) is not None and self._state_machine.spool.find_job(job_id) is None

    async def _find(self, job_id: str) -> tuple[Job, Path]:
        await self._state_machine.durable.put_down(job_id)  # if it is on its way to its next place
        directory = self._state_machine.spool.find_job(job_id)
        if directory is None and (name := self._admission.waiting(job_id)) is not None:
            raise JobError(
                "job-waiting",
                f"{name} is still in the inbox, and waits for its files.",
                "It can be cancelled, held and released there; the rest when it has been taken in.",
            )
        if directory is None:
            raise JobError("job-unknown", f"There is no job {job_id}.", "`avatar jobs list` shows those there are.")
        if job_id in self._state_machine.running:  # the record in memory is the one that will be written next
            return self._state_machine.running[job_id], directory
        try:
            return self._state_machine.spool.load_job(directory), directory
        except ValueError as exc:
            raise JobError(
                "job-unreadable", f"The record of {job_id} cannot be read: {exc}.", "Drop its manifest again."
            ) from exc

    def _unfinished(self, job: Job) -> None:
        if job.state in FINISHED:
            way = "Its results are in the outbox." if job.state == "done" else next_step(job, self._outbox.root)
            raise JobError("job-finished", f"{job.name} is {job.state} already.", way)

    # -- the whole queue -----------------------------------------------------------------------------------------

    async def _pause(self, request: Request) -> str:
        scope = _scope(request)
        seconds = request.get("for_s")
        if seconds is not None and (not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_PAUSE_S):
            raise JobError(
                "control-invalid",
                f"Nothing can be paused for {seconds!r} s.",
                f"Give a time above 0 and of at most {_LONGEST_PAUSE_S // 86_400} days, or none for a pause without end.",
            )
        present = self._pauses.active(scope)
        if present is not None and present.by != _by(request) and request.get("force") is not True:
            raise JobError(
                "pause-held",
                f"The {scope} are paused already, by {present.by} since {iso(present.since)}: {present.reason or 'no reason'}.",
                "`--force` takes the pause over.",
            )
        now = time.time()
        pause = Pause(_by(request), _reason(request), now, now + seconds if seconds else None)
        self._pauses.begin(scope, pause)
        self._events.queue_paused(scope, pause)
        ending = f" for {_length(seconds)}, until {iso(pause.until)}" if seconds and pause.until else ""
        before = "" if present is None else f" This replaces the pause by {present.by}, {_ending(present)}."
        return f"{scope} paused{ending}.{before}"

    async def _resume(self, request: Request) -> str:
        scopes = [_scope(request)] if request.get("scope") else list(SCOPES)
        ended = [(scope, pause) for scope in scopes if (pause := self._pauses.end(scope)) is not None]
        for scope, _ in ended:
            self._events.queue_resumed(scope)
        self._state_machine.changed.notify()
        told = " and ".join(f"{scope} (paused by {pause.by})" for scope, pause in ended)
        return f"{told} resumed." if ended else "Nothing was paused."


def _job_id(request: Request) -> str:
    job_id = str(request.get("job"))
    if not JOB_ID.fullmatch(job_id):
        raise JobError("job-unknown", f"{job_id!r} is not a job id.", "It looks like job-20260102T030405Z-0a1b2c3d.")
    return job_id


def _scope(request: Request) -> Scope:
    wanted = request.get("scope", "lanes")
    for scope in SCOPES:
        if scope == wanted:
            return scope
    raise JobError("control-invalid", f"{wanted!r} cannot be paused.", f"Known: {', '.join(SCOPES)}.")


def _by(request: Request) -> str:
    return printable(str(request.get("by") or "unknown"))[:MAX_REASON]


def _length(seconds: float) -> str:
    """Return a time in the largest unit in which it is a whole number: 90 s, 15 min, 8 h, 2 days."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _ending(pause: Pause) -> str:
    return f"which would have ended at {iso(pause.until)}" if pause.until else "which had no end"


def _reason(request: Request) -> str:
    return str(request.get("reason") or "")[:MAX_REASON]
