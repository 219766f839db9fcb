"""Looks at files that are still being written hold up neither people nor other jobs."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from daemon.jobs.record import Job
from daemon.queue import source_files
from daemon.queue.job_end import CANCELLED
from daemon.queue.source_files import LOOK_S, SHARE
from tests.support.daemon.growing_source import NAME, Case

#: What a look counts in these tests, s: more than it takes, so that a few jobs do for many.
COST_S = 0.02


@pytest.fixture(autouse=True)
def dear_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "LEAST_COST_S", COST_S)


@pytest.mark.parametrize("order", ["cancel", "hold"])
def test_people_are_obeyed_while_a_file_is_looked_at(ready_to_deliver: Case, order: str) -> None:
    # Given an inbox that takes its time to answer
    room, job = ready_to_deliver.room, ready_to_deliver.job
    looking, answer = threading.Event(), threading.Event()

    def is_open(path: str) -> bool:
        looking.set()
        return not answer.wait(60)

    room.use_sources(is_open)

    async def live() -> tuple[Job, Path] | None:
        start = asyncio.create_task(room.try_to_take(job))
        await asyncio.to_thread(looking.wait, 60)
        # When somebody cancels or holds the job meanwhile
        directory = room.spool.find_job(job.id)
        assert directory is not None
        running = room.state_machine.running[job.id]
        if order == "cancel":
            await room.state_machine.finish(running, directory, "cancelled", CANCELLED)
        else:
            await room.state_machine.hold(running, directory, "me", "")
        answer.set()
        return await start

    # Then it is not delivered
    assert asyncio.run(live()) is None
    assert ready_to_deliver.where == {"cancel": "failed", "hold": "held"}[order]
    assert job.id not in room.state_machine.running
    assert job.id not in room.ready_queue


def test_looks_at_a_file_follow_each_other_soon(ready_to_deliver: Case) -> None:
    ready_to_deliver.write()
    ready_to_deliver.take()
    due = ready_to_deliver.room.ready_queue.next_due()
    assert due is not None
    assert due - time.monotonic() <= LOOK_S


def test_thousands_of_jobs_that_wait_for_a_file_do_not_fill_the_lane_with_looks(ready_to_deliver: Case) -> None:
    # Given one file that is held open, and many jobs that name it
    room, count = ready_to_deliver.room, 30
    room.open_files.add(NAME)
    jobs = [room.accept(f"job{number}", "deliver", facts=ready_to_deliver.job.facts) for number in range(count)]

    async def look() -> None:
        for job in jobs:
            assert await room.try_to_take(job) is None

    # When each has been looked at / Then so many looks take only a small part of the time until the next ones
    asyncio.run(look())
    last = max(ticket.not_before for ticket in room.ready_queue.tickets())
    assert last - time.monotonic() > 0.9 * count * COST_S / SHARE


@pytest.mark.parametrize("how", ["hold", "cancel", "cancel while it is looked at", "fail"])
def test_jobs_that_left_the_queue_delay_no_look_at_others(ready_to_deliver: Case, how: str) -> None:
    # Given many jobs that waited for a file, and were held, cancelled or failed
    room, count = ready_to_deliver.room, 10
    room.open_files.add(NAME)
    machine = room.state_machine

    async def leave(job: Job) -> None:
        start = asyncio.create_task(room.try_to_take(job))
        if how == "cancel while it is looked at":
            await asyncio.sleep(0)
            await machine.finish(machine.running[job.id], room.spool.folder_of(job), "cancelled", CANCELLED)
        assert await start is None
        if how == "hold":
            await machine.hold(room.on_disk(job), room.spool.folder_of(job), "me", "")
        elif how == "cancel":
            await machine.finish(room.on_disk(job), room.spool.folder_of(job), "cancelled", CANCELLED)
        elif how == "fail":
            await machine.set_aside_unreadable(room.spool.folder_of(job), "somebody damaged it")

    async def live() -> None:
        for number in range(count):
            await leave(room.accept(f"job{number}", "deliver", facts=ready_to_deliver.job.facts))
        # When another job waits / Then it is looked at soon
        assert await room.try_to_take(ready_to_deliver.job) is None

    asyncio.run(live())
    (ticket,) = room.ready_queue.tickets()
    assert ticket.not_before - time.monotonic() <= LOOK_S
