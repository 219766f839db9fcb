"""Recovers the spool at start, before anything runs: requeues interrupted jobs, indexes the queues, removes temporary files.

A bad file does not stop the start: an unreadable job is moved to the failed ones.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog

from daemon.jobs.record import Job
from daemon.jobs.stages import DELIVER, STAGES
from daemon.outbox.outbox import Outbox
from daemon.queue.job_end import KEPT_FAILED, quarantine_error, remove_bulky_files
from daemon.queue.state_machine import StateMachine
from daemon.system import fs

log = structlog.get_logger()


async def recover_spool(state_machine: StateMachine, outbox: Outbox) -> int:
    """Bring every job of the spool into exactly one queue. Returns the number of interrupted jobs."""
    for path in (*state_machine.spool.tmp.iterdir(), *state_machine.spool.root.glob(".*.tmp")):
        _remove_leftover(path)
    interrupted = 0
    for stage in STAGES:
        for directory in list(state_machine.spool.job_folders(state_machine.spool.active(stage))):
            interrupted += 1
            await _requeue_interrupted(state_machine, directory)
            await asyncio.sleep(0)  # a stop is heard meanwhile
    for stage in STAGES:
        for directory in state_machine.spool.job_folders(state_machine.spool.ready(stage)):
            if directory.name not in state_machine.ready_queue:
                await _add_to_ready_queue(state_machine, directory)
                await asyncio.sleep(0)
    for directory in state_machine.spool.job_folders(state_machine.spool.resting("failed")):
        remove_bulky_files(directory, KEPT_FAILED)  # a crash may have prevented this after the move
    delivering = frozenset(path.name for path in state_machine.spool.job_folders(state_machine.spool.ready(DELIVER)))
    for path in outbox.temporary_files(delivering):
        fs.discard(path)
    return interrupted


async def _load_or_set_aside(state_machine: StateMachine, directory: Path) -> Job | None:
    try:
        return state_machine.spool.load_job(directory)
    except ValueError as exc:
        try:
            await state_machine.set_aside_unreadable(directory, str(exc))
        except OSError:
            log.exception("job left where it is", job_id=directory.name)
        return None
    except OSError as exc:
        log.error("job left where it is", job_id=directory.name, error=str(exc))
        return None


async def _add_to_ready_queue(state_machine: StateMachine, directory: Path) -> None:
    job = await _load_or_set_aside(state_machine, directory)
    if job is None:
        return
    if job.facts.restart is not None:  # a crash came between the record and the move to the first stage
        await state_machine.restart(job, directory)
    elif job.held:  # a crash came between the order to hold it and the move
        await state_machine.enqueue(job, directory)
    else:
        state_machine.ready_queue.add(job)
        state_machine.events.job_found_waiting(job)


async def _requeue_interrupted(state_machine: StateMachine, directory: Path) -> None:
    """Requeue a job that ran when the daemon died. The interruption is counted, since the job may have caused it."""
    job = await _load_or_set_aside(state_machine, directory)
    if job is None:
        return
    if job.facts.restart is None:  # else a new copy of a file may have its temporary name still
        for path in directory.glob(".*tmp*"):
            fs.remove(path)
    job.interruptions += 1
    job.note("interrupted", stage=job.stage)
    if job.interruptions >= state_machine.settings.retry.interruptions:
        await state_machine.finish(
            job, directory, "failed", quarantine_error(f"The daemon died {job.interruptions} times while this job ran.")
        )
        return
    # The stage did not fail, so the attempt is not counted.
    assert job.stage is not None
    job.attempts[job.stage] = max(0, job.attempts.get(job.stage, 1) - 1)
    job.since = time.time()
    if job.facts.restart is not None:
        await state_machine.restart(job, directory)
    else:
        await state_machine.enqueue(job, directory)
    state_machine.events.job_recovered(job)


def _remove_leftover(path: Path) -> None:
    try:
        fs.remove(path)
    except PermissionError as exc:  # the file of another user must not prevent the start
        log.warning("leftover file cannot be removed", path=str(path), error=str(exc))
