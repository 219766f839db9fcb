"""Moves jobs between their states: every transition of a job is a method here.

A transition first changes the record in memory, then makes it durable by one hop (docs/spool.md). A hop that fails because
of the machine (disk full, I/O error) is retried until it succeeds; meanwhile the job is in a state that recovery handles.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, WorkerDied, WorkerLost
from daemon.events import Events
from daemon.jobs.facts import BatchCounts, StageFacts
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import EventData, Job, State, unreadable_record
from daemon.jobs.stages import CHECK, DELIVER
from daemon.jobs.waits import wait_of
from daemon.outbox.outbox import Outbox
from daemon.queue.attempts import Attempts, delay_s
from daemon.queue.awaited_files import (
    COPIED_AGAIN,
    CUT_OFF,
    JobSources,
    copies_to_install,
    needs_check,
    unfinished_warning,
)
from daemon.queue.job_end import KEPT, KEPT_FAILED, cancelled_by, quarantine_error, remove_bulky_files
from daemon.queue.moves.durable_steps import DurableSteps
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.queue.source_files import SourceCheck, SourceFiles, install_new_copy
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()


class StateMachine:
    """Changes the states of jobs, on disk and in the ready queue, and emits the events.

    Attributes:
        changed: notified when a job may have become available to a lane.
        running: jobs whose stage runs now, by id.
        durable: makes the changes on disk.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        ready_queue: ReadyQueue,
        events: Events,
        sources: SourceFiles | None = None,
    ) -> None:
        self.settings = settings
        self.spool = spool
        self.ready_queue = ready_queue
        self.events = events
        self.changed = Wakeup()
        self.running: dict[str, Job] = {}
        self._attempts = Attempts()
        self.durable = DurableSteps(settings, spool, events)
        self._sources = JobSources(settings, sources or SourceFiles(settings))

    # -- into and out of a stage ---------------------------------------------------------------------------------

    async def start_attempt(self, ticket: Ticket, slot: str = "") -> tuple[Job, Path] | None:
        """Start an attempt at a stage; it is counted on disk before anything runs, by the rename of the job's folder.

        The rename is flushed while the stage begins (`durable.flushed`); before it, if a worker or the daemon died in one of its
        stages.

        Args:
            slot: name of the slot that runs it.

        Returns:
            The job and its directory; None if it is not to run now: the record was unreadable and the job has been set aside,
            the rest of a file is waited for, or the job was taken by others while it was still put down.

        Raises:
            OSError: the job could not be moved; it is still in its queue.
        """
        await self.durable.put_down(ticket.id)
        if not self.ready_queue.is_current(ticket):
            return None
        self.ready_queue.take(ticket.id)
        source = self.spool.ready(ticket.stage) / ticket.id
        try:
            job = self.spool.load_job(source)
        except ValueError as exc:
            await self.set_aside_unreadable(source, str(exc))
            return None
        except OSError:
            self._requeue_later(ticket, self.settings.lanes.pause_s)
            raise
        self._sources.remember_accepted(job.id, ticket.accepted)
        if needs_check(job) and not await self._may_start(job, source, ticket):
            return None
        self._attempts.begin(job, ticket.stage, ticket.since, slot or ticket.lane)
        self.running[job.id] = job
        try:
            directory = await self.durable.start(job, source, wait=bool(job.crashes or job.interruptions))
        except OSError:
            del self.running[job.id]
            self._attempts.forget(job.id)
            # Not a known fault of the machine, so it may last; and each attempt makes the lane pause.
            self._requeue_later(ticket, 10 * self.settings.lanes.pause_s)
            raise
        self.events.stage_started(job, ticket.stage, job.timings[ticket.stage]["wait"])
        return job, directory

    def _requeue_later(self, ticket: Ticket, delay_s: float) -> None:
        """Put a job that could not be started back into its queue, behind the others."""
        self.ready_queue.restore(replace(ticket, not_before=time.monotonic() + delay_s))

    def begin_to_put_down(self, job: Job) -> None:
        """Note that the stage of a job is over. Until `end_putting_down`, its changes are flushed beside the event loop, and
        others that would change the job wait (`durable.put_down`).
        """
        self._attempts.over(job.id)
        self.durable.use_threads(job.id)

    def end_putting_down(self, job: Job) -> None:
        """Note that a job is in its next place."""
        self.durable.use_loop(job.id)

    async def advance(self, job: Job, directory: Path, facts: StageFacts, warnings: list[str]) -> None:
        """Record the success of a stage, and move the job to the next stage or to the end."""
        assert job.stage is not None
        if (makes_jobs := KINDS[job.manifest["kind"]].makes_jobs) and await self._awaits_rest(job, directory):
            return  # half a table may be right; the files of other jobs are checked before their delivery
        job.facts.stages[job.stage] = facts
        job.warnings = [*job.warnings, *(w for w in warnings if w not in job.warnings)]
        if job.stage == DELIVER:
            job.outputs = facts
        self._record_attempt(job, "done")
        if job.next_stage is None:
            if makes_jobs:
                await self.begin_batch(job, directory)
            else:
                await self.finish(job, directory, "done")
            return
        job.stage = job.next_stage
        await self.enqueue(job, directory, wait=False)

    async def begin_batch(self, job: Job, directory: Path) -> None:
        """Move a batch whose rows are checked to where it stays while their jobs run; also one that had ended."""
        counts = job.facts.batch or BatchCounts(int(job.facts.of(CHECK).get("rows", 0)))
        job.facts.batch = counts
        job.stage, job.state, job.error, job.finished, job.outputs = None, "running", None, None, {}
        await self.durable.move(job, directory)
        self.running.pop(job.id, None)
        self._sources.forget(job.id, ended=True)
        self.events.batch_begun(job)
        self.events.job_changed(job)

    async def save(self, job: Job, directory: Path) -> None:
        """Write the record of a job that stays where it is, durably, and tell of it."""
        await self.durable.save(job, directory)
        self.events.job_changed(job)

    async def enqueue(self, job: Job, directory: Path, *, wait: bool = True) -> None:
        """Move the job into the queue of its stage; a held job goes into the folder of held jobs instead. `wait`: see
        `DurableSteps.move`; a job is always held durably.
        """
        job.state, job.since = ("held" if job.held else "queued"), time.time()
        # While it is put down, its slot chooses the next job, which may be this one: its start waits for the move.
        early = job.state == "queued" and self.durable.uses_threads(job.id)
        if early:
            self.ready_queue.add(job)
        await self.durable.move(job, directory, wait=wait or job.state == "held")
        self.running.pop(job.id, None)
        if job.state == "held":
            self._sources.forget(job.id)
        elif not early:
            self.ready_queue.add(job)
        self.events.job_changed(job)
        self.changed.notify()

    async def finish(self, job: Job, directory: Path, state: State, error: AvatarError | None = None) -> None:
        """End a job as done, failed or cancelled. Its status file is written durably before the job leaves the queue."""
        job.state, job.finished, job.held = state, time.time(), None
        if error is not None:
            job.set_error(error, job.stage)
        self.ready_queue.remove(job.id)
        self.events.job_ending(job)
        await self.durable.retry(lambda: self.events.before_finish(job), job)
        if state == "done":  # before the hop: recovery does not look at done jobs
            await self.durable.retry(lambda: remove_bulky_files(directory, KEPT), job)
        place = await self.durable.move(job, directory)
        self.running.pop(job.id, None)
        self._sources.forget(job.id, ended=True)
        self.events.job_finished(job)
        if state != "done":
            await self.durable.retry(lambda: remove_bulky_files(place, KEPT_FAILED), job)
        self.changed.notify()

    # -- what people ask for --------------------------------------------------------------------------------------

    async def hold(self, job: Job, directory: Path, by: str, reason: str) -> None:
        """Hold a job. A running job finishes its stage first; the order is on disk at once."""
        job.held = {"by": by, "reason": reason, "since": time.time()}
        job.note("held", by=by, reason=reason)
        if job.id in self.running:
            await self.durable.save(job, directory)
            self.events.job_changed(job)
            return
        self.ready_queue.remove(job.id)
        await self.enqueue(job, directory)

    async def release(self, job: Job, directory: Path, by: str) -> None:
        """Release a held job; it continues at its stage."""
        job.held = None
        job.note("released", by=by)
        if job.id in self.running:
            await self.durable.save(job, directory)
            self.events.job_changed(job)
            return
        await self.enqueue(job, directory)

    async def prioritise(self, job: Job, directory: Path, priority: int, by: str) -> None:
        """Change a job's priority."""
        job.note("priority", by=by, before=job.priority, now=priority)
        job.priority = priority
        await self.durable.save(job, directory)
        if job.state == "queued":
            self.ready_queue.add(job)
        self.events.job_changed(job)
        self.changed.notify()

    # -- what happens when a stage does not end well -------------------------------------------------------------

    async def fail_attempt(self, job: Job, directory: Path, error: AvatarError) -> None:
        """Record the error of a stage: a fault of the job fails it, an unknown fault is retried with growing delay.

        Faults of the machine do not come here, but to `put_back`.
        """
        assert job.stage is not None
        entry: EventData = {"stage": job.stage, "code": error.code, "message": error.message}
        if error.traceback:
            entry["traceback"] = error.traceback
        job.note("error", **entry)
        tries = job.attempts.get(job.stage, 0)
        if isinstance(error, JobError) or tries >= self.settings.retry.attempts:
            if await self._awaits_rest(job, directory, error.code):
                return
            self._record_attempt(job, "failed")
            await self.finish(job, directory, "failed", error)
            return
        job.not_before = time.time() + delay_s(self.settings.retry, tries)
        self._record_attempt(job, "retried")
        await self.enqueue(job, directory)

    async def record_crash(self, job: Job, directory: Path, death: WorkerDied) -> None:
        """Record that the worker died: retry with growing delay; at `retry.crashes` deaths, quarantine the job."""
        assert job.stage is not None
        job.crashes += 1
        job.note("crash", stage=job.stage, code=death.code, message=death.reason, log=death.tail[-20:])
        is_last = job.crashes >= self.settings.retry.crashes
        job.not_before = 0.0 if is_last else time.time() + delay_s(self.settings.retry, job.crashes)
        self._record_attempt(job, "timeout" if death.code == "stage-timeout" else "crashed")
        if is_last:
            reason = f"The job crashed its worker {job.crashes} times and is quarantined. Last: {death.reason}"
            await self.finish(job, directory, "failed", quarantine_error(reason))
            return
        await self.enqueue(job, directory)

    async def record_loss(self, job: Job, directory: Path, loss: WorkerLost) -> None:
        """Record that the worker was lost with its machine: the job goes back without an attempt, and is quarantined when it has
        been interrupted `retry.interruptions` times, since it may be what takes the machines down.
        """
        assert job.stage is not None
        job.interruptions += loss.with_machine
        job.note("lost", stage=job.stage, code=loss.code, message=loss.reason)
        if job.interruptions >= self.settings.retry.interruptions:
            self._record_attempt(job, "crashed")
            reason = f"The job was interrupted {job.interruptions} times and is quarantined. Last: {loss.reason}"
            await self.finish(job, directory, "failed", quarantine_error(reason))
            return
        await self.put_back(job, directory, "returned")

    async def finish_cancelled(self, job: Job, directory: Path, by: str) -> None:
        """End a running job that a person cancelled, after its worker was stopped. `by`: who."""
        self._record_attempt(job, "cancelled")
        await self.cancel(job, directory, by)

    async def cancel(self, job: Job, directory: Path, by: str) -> None:
        """End a job that runs in no worker, as cancelled. `by`: who cancelled it."""
        job.note("cancelled", by=by)
        await self.finish(job, directory, "cancelled", cancelled_by(by))

    async def put_back(self, job: Job, directory: Path, result: str = "paused") -> None:
        """Put a job back into its queue without counting the attempt: the machine failed, or the daemon stops."""
        assert job.stage is not None
        job.attempts[job.stage] = max(0, job.attempts.get(job.stage, 1) - 1)
        if result == "paused":
            # The others go first for a while, in case this job itself is too large for the machine.
            job.not_before = time.time() + self.settings.lanes.pause_s
        self._record_attempt(job, result)
        await self.enqueue(job, directory)

    def _record_attempt(self, job: Job, result: str) -> None:
        assert job.stage is not None
        self.events.stage_ended(job, job.stage, result, self._attempts.end(job, job.stage, result))

    async def set_aside_unreadable(self, directory: Path, why: str) -> None:
        """Move a job with an unreadable record to the failed jobs."""
        name = Outbox(self.settings.paths.outbox).name_of(directory.name) or directory.name
        job = Job(id=directory.name, name=name, source="", state="failed", accepted=time.time())
        log.error("job record unreadable", job_id=job.id, why=why)
        with contextlib.suppress(FileNotFoundError):
            fs.rename(directory / "job.json", directory / "job.json.bad")  # kept for diagnosis
        await self.finish(job, directory, "failed", unreadable_record(why))

    # -- source files that were copied too early -----------------------------------------------------------------

    async def _may_start(self, job: Job, source: Path, ticket: Ticket) -> bool:
        """Check the files of a job that is about to start. Returns False if the job waits for the rest of a file, begins anew, or
        was held or ended by a person meanwhile.
        """
        job.state = "running"
        self.running[job.id] = job
        wait = wait_of(job)
        try:
            check = await self._sources.check(job, source, must_stand=wait.get("code") in CUT_OFF)
        except BaseException:
            if self.running.pop(job.id, None) is not None:
                self._requeue_later(ticket, self.settings.lanes.pause_s)
            raise
        if self.running.get(job.id) is not job:
            self._sources.forget(job.id)
            return False
        if job.held:
            await self.enqueue(job, source)
        elif check.renewed:
            await self._restart_with(check, job, source)
        elif check.wait_s:
            if not wait or not set(check.unfinished) <= set(wait["files"]):
                self._sources.note_wait(job, check, wait.get("code"))
                job.state = "queued"
                await self.durable.save(job, source)
            del self.running[job.id]
            self._requeue_later(replace(ticket, priority=job.priority), check.wait_s)
        else:
            return True
        return False

    async def _awaits_rest(self, job: Job, directory: Path, code: str | None = None) -> bool:
        """Put a job back whose stage is over, with the error `code`, if the rest of a file came later or is waited for."""
        assert job.stage is not None
        check = await self._sources.check(job, directory, must_stand=code in CUT_OFF)
        if check.renewed:
            self._record_attempt(job, "retried")
            await self._restart_with(check, job, directory)
        elif check.wait_s:
            self._sources.note_wait(job, check, code)
            job.attempts[job.stage] = max(0, job.attempts.get(job.stage, 0) - 1)
            job.not_before = time.time() + check.wait_s
            self._record_attempt(job, "retried")
            await self.enqueue(job, directory)
        return bool(check.renewed or check.wait_s)

    async def _restart_with(self, check: SourceCheck, job: Job, directory: Path) -> None:
        """Restart a job with the new copies of its files."""
        grown = [job.facts.sources[target].path for target in check.renewed]
        entry: EventData = {"files": grown, "late": True} if check.late else {"files": grown}
        job.note(COPIED_AGAIN, **entry)
        job.facts.restart = list(check.renewed)
        # What was warned of concerned the old copies.
        job.warnings = [unfinished_warning(path, self.settings) for path in (grown if check.late else ())]
        for target in check.renewed:
            job.facts.sources[target].file = None  # which copy is in place is known only after the replacement
        await self.durable.save(job, directory)
        await self.restart(job, directory, check)

    async def restart(self, job: Job, directory: Path, check: SourceCheck | None = None) -> None:
        """Move a job back to its first stage with the new copies of its files, and remove everything computed from the old ones.
        The fact `restart` marks the job and names these copies until this is done, so that recovery can repeat it.
        """
        for target in copies_to_install(job):
            await self.durable.retry(partial(install_new_copy, directory, target))
        if check is not None:
            for target, key in check.renewed.items():
                source = job.facts.sources[target]
                source.file, source.still_s = list(key), round(check.still_s[target], 1)
        await self.durable.retry(lambda: remove_bulky_files(directory, KEPT_FAILED))
        job.facts = replace(job.facts, stages={}, restart=None)  # all else is not computed from them
        job.attempts, job.stage = {}, job.stages[0]
        log.info("job begins anew", job_id=job.id, why="a file that it names went on being written")
        await self.enqueue(job, directory)
