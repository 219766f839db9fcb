"""What is asked for all rows of a batch, and has not reached them yet: the newest stands, also where it is for one row alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.intake.batches import orders
from daemon.jobs.record import row_id
from tests.daemon.intake.batches.test_rows_alone import ask, carry_on
from tests.support.daemon.begun_batch import ROWS, begun
from tests.support.daemon.intake import Room


async def given(room: Room, request: dict[str, Any]) -> None:
    assert room.service.batches.run is not None
    await room.service.batches.run(request)


@pytest.mark.parametrize("op", ["release", "priority"])
def test_the_newest_order_stands_for_those_before_it(room: Room, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    # Given a batch whose rows are held, and turns that reach none of them
    batch = begun(room)
    asyncio.run(carry_on(room))
    ask(room, "hold", batch.id)
    monkeypatch.setattr(orders, "TURN_S", 0.0)
    # When the same is asked many times
    for priority in range(9, 0, -1):
        request = {"op": op, "job": batch.id, "by": "anna"} | ({"priority": priority} if op == "priority" else {})
        asyncio.run(given(room, request))
    # Then the one that has begun and the newest are left to do
    running = room.service.batches.running(batch.id)
    assert running is not None
    assert running.facts.batch is not None
    left = running.facts.batch.orders
    assert [order["op"] for order in left] == [op, op]
    assert left[-1].get("priority", priority) == priority == 1
    # And it reaches all rows
    monkeypatch.undo()
    if op == "priority":
        ask(room, "release", batch.id)
    for _ in range(4):
        asyncio.run(carry_on(room))
    assert len(room.service.ready_queue) == ROWS
    assert running.facts.batch.orders == []


def test_what_is_asked_for_one_row_stands_against_what_was_asked_for_all_before(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch whose rows are held, and a release and a priority for all that have reached none of them
    batch = begun(room)
    asyncio.run(carry_on(room))
    ask(room, "hold", batch.id)
    monkeypatch.setattr(orders, "TURN_S", 0.0)
    asyncio.run(given(room, {"op": "release", "job": batch.id, "by": "anna"}))
    asyncio.run(given(room, {"op": "priority", "job": batch.id, "by": "anna", "priority": 5}))
    # When one row is held, and another gets a priority of its own
    held, first = row_id(batch.id, 3), row_id(batch.id, 4)
    asyncio.run(given(room, {"op": "hold", "job": held, "by": "ben"}))
    asyncio.run(given(room, {"op": "priority", "job": first, "by": "ben", "priority": 9}))
    # Then that stays so when the others have been reached
    monkeypatch.undo()
    for _ in range(4):
        asyncio.run(carry_on(room))
    spool = room.service.spool
    jobs = {
        job_id: spool.load_job(place) for n in range(ROWS) if (place := spool.find_job(job_id := row_id(batch.id, n)))
    }
    assert [job_id for job_id, job in jobs.items() if job.held] == [held]
    assert {job.priority for job_id, job in jobs.items() if job_id != first} == {5}
    assert jobs[first].priority == 9
