"""`on_error` stops a batch as soon as so many of its rows have failed, and no row is left behind that can still be made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import JobError
from daemon.intake import fair_queue
from daemon.jobs.record import Job
from daemon.queue.recovery import recover_spool
from daemon.service import Service
from tests.support.daemon.begun_batch import ROWS, Clock, begun
from tests.support.daemon.intake import Room

BAD = JobError("image-unreadable", "It is no picture.")


async def start(service: Service) -> tuple[Job, Path]:
    """Start the row that is next."""
    ticket = service.ready_queue.head("info", 2e9)
    assert ticket is not None
    taken = await service.state_machine.start_attempt(ticket)
    assert taken is not None
    return taken


def test_no_row_starts_once_as_many_have_failed_as_on_error_allows(room: Room) -> None:
    begun(room, more="dedupe: false\non_error: stop")

    async def run() -> None:
        service = room.service
        await service.batches.carry_on()
        taken = await start(service)
        # When a row fails, then no other one waits to be started, before anything else is done
        await service.state_machine.finish(*taken, "failed", BAD)
        assert service.ready_queue.count("info") == 0
        for _ in range(3):
            await service.batches.carry_on()

    asyncio.run(run())
    status = room.status("talk")
    assert (status["error"]["code"], status["batch"]["failed"], status["batch"]["cancelled"]) == (
        "batch-stopped",
        1,
        ROWS - 1,
    )


def test_a_hold_that_on_error_cut_short_holds_no_row_that_is_started_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch of which a row fails while others are being held, so that the batch stops
    job = begun(room, more="dedupe: false\non_error: stop")
    clock = Clock(monkeypatch, fair_queue.TURN_S / 2)

    async def run() -> None:
        service = room.service
        batches, ask = service.batches, service.batches.run
        assert ask is not None

        async def slowly(request: dict[str, Any]) -> str:
            clock.work()
            return await ask(request)

        await batches.carry_on()
        taken = await start(service)
        batches.run = slowly
        assert "more are being held" in await ask({"op": "hold", "job": job.id, "by": "anna"})
        await service.state_machine.finish(*taken, "failed", BAD)
        await batches.carry_on()
        batches.run = ask
        for _ in range(4):
            await batches.carry_on()
        assert room.status("talk")["state"] == "failed"
        # When its rows are started again, then they are not held
        await ask({"op": "retry", "job": job.id, "by": "anna"})
        for _ in range(2):
            await batches.carry_on()
        assert service.ready_queue.count("info") == ROWS

    asyncio.run(run())


def test_no_row_starts_after_a_restart_where_as_many_have_failed_as_on_error_allows(room: Room) -> None:
    begun(room, more="dedupe: false\non_error: stop")

    async def fail_one() -> None:
        await room.service.batches.carry_on()
        await room.service.state_machine.finish(*await start(room.service), "failed", BAD)

    asyncio.run(fail_one())
    # When the daemon dies before it has stopped the batch, and starts again, then no row waits to be started
    again = Room(room.inbox.parent)

    async def go_on() -> None:
        service = again.service
        await recover_spool(service.state_machine, service.outbox)
        await service.batches.resume()
        assert service.ready_queue.count("info") == 0
        for _ in range(3):
            await service.batches.carry_on()

    asyncio.run(go_on())
    assert (again.status("talk")["error"]["code"], again.status("talk")["batch"]["failed"]) == ("batch-stopped", 1)


@pytest.mark.parametrize(("fail", "ends"), [(1, "done"), (3, "failed")])
def test_rows_that_are_started_again_are_counted_anew_by_on_error(
    room: Room, monkeypatch: pytest.MonkeyPatch, fail: int, ends: str
) -> None:
    # Given a batch that three failed rows stopped, while two more ran that failed, too
    job = begun(room, more="dedupe: false\non_error: stop after 3")
    Clock(monkeypatch, 0.0)  # all are started again in one turn

    async def run() -> None:
        service = room.service
        batches, ask = service.batches, service.batches.run
        assert ask is not None
        await batches.carry_on()
        for taken in [await start(service) for _ in range(5)]:
            await service.state_machine.finish(*taken, "failed", BAD)
        for _ in range(3):
            await batches.carry_on()
        started: list[str] = []
        enqueue = service.state_machine.enqueue

        async def enqueue_and_fail(job: Job, directory: Path) -> None:
            await enqueue(job, directory)
            started.append(job.name)
            if len(started) == fail + 1:
                for _ in range(fail):
                    await service.state_machine.finish(*await start(service), "failed", BAD)

        # When its rows are started again, of which some fail before the last ones are
        monkeypatch.setattr(service.state_machine, "enqueue", enqueue_and_fail)
        await ask({"op": "retry", "job": job.id, "by": "anna"})
        # Then as many as `on_error` allows stop it, and with fewer all others go on
        assert len(started) == (ROWS if ends == "done" else 4)
        assert service.ready_queue.count("info") == (ROWS - fail if ends == "done" else 0)
        while service.ready_queue.count("info"):
            await service.state_machine.finish(*await start(service), "done")
        for _ in range(3):
            await batches.carry_on()

    asyncio.run(run())
    status = room.status("talk")
    assert (status["state"], status["batch"]["left"]) == (ends, 0)
