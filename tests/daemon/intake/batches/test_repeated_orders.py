"""What is asked for all rows of a batch again and again, before it has reached them, is carried out on them once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.intake.batches import orders
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
