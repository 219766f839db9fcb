"""Rows whose pictures the daemon has not watched for long enough wait for that, and say why."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.intake import fair_queue
from daemon.intake.batches.running_batch import FIRST_RETRY_S
from daemon.intake.jobs import job_builder
from tests.support.daemon.begun_batch import ROWS, begun
from tests.support.daemon.intake import SETTLE_S, Room


def carried_on(room: Room) -> Sequence[MutableMapping[str, Any]]:
    """Try to make the rows' jobs once, at once; returns what the log says of that."""

    async def carry_on() -> None:
        await room.service.batches.resume()
        for batch in room.service.batches._batches.values():
            batch.retry_due = 0.0
        await room.service.batches.carry_on()

    with capture_logs() as logs:
        asyncio.run(carry_on())
    return [line for line in logs if line["event"] == "rows wait"]


def made(room: Room) -> int:
    return len(list(room.spool.ready("info").iterdir()))


def test_rows_whose_picture_is_new_to_a_daemon_wait_and_nobody_is_said_to_write_to_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch of which a turn has made some rows, and another daemon after that
    begun(room)
    for module in (fair_queue, job_builder):
        monkeypatch.setattr(module, "TURN_JOBS", 4, raising=False)
    asyncio.run(room.service.batches.carry_on())
    assert 0 < made(room) < ROWS
    room = Room(room.inbox.parent)
    room.look()
    before = made(room)
    # When it has just begun to watch the picture / Then the rows wait as long as is needed, which is no fault
    (told,) = carried_on(room)
    assert (told["log_level"], told["code"]) == ("info", "file-unsettled")
    assert f"it does so for {SETTLE_S:.1f} s more" in told["message"]
    # When somebody writes to it / Then the log says so, and each try comes later
    room.put("p.png", b"another picture")
    (told,) = carried_on(room)
    assert (told["log_level"], told["message"]) == ("warning", "p.png is written to again.")
    (batch,) = room.service.batches._batches.values()
    assert (made(room), batch.retry_s) == (before, 4 * FIRST_RETRY_S)
    # When it has been as it is for long enough / Then all rows are made
    room.look()
    room.look(SETTLE_S)
    while made(room) < ROWS:
        assert carried_on(room) == []
