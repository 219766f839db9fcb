"""While a turn has made the jobs of some rows of a slice only, the status and the report of the batch count these."""

from __future__ import annotations

import asyncio

import pytest

from daemon.intake import fair_queue
from daemon.intake.jobs import job_builder
from tests.support.daemon.begun_batch import ROWS, begun
from tests.support.daemon.intake import Room

TURN = 4


@pytest.fixture
def batch(room: Room, monkeypatch: pytest.MonkeyPatch) -> str:
    """A batch of which one turn has made some rows only, by its id."""
    job = begun(room)
    for module in (fair_queue, job_builder):
        monkeypatch.setattr(module, "TURN_JOBS", TURN, raising=False)
    asyncio.run(room.service.batches.carry_on())
    assert len(list(room.spool.ready("info").iterdir())) == TURN
    return job.id


def rows_with_jobs(room: Room, batch: str) -> int:
    job = room.service.batches.running(batch)
    assert job is not None
    assert job.facts.batch is not None
    return job.facts.batch.made


def test_people_are_told_how_many_rows_have_jobs(room: Room, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Then the status and the report count those that are made
    status = room.status("talk")
    assert status["batch"]["taken"] == TURN
    assert status["next"].startswith(f"{ROWS - TURN} of its rows become jobs")
    report = (room.outbox / "talk.report.csv").read_text("utf-8-sig")
    assert (report.count(",waiting,"), report.count(",not taken,")) == (TURN, ROWS - TURN)
    # And when the others are made, none is counted twice
    monkeypatch.undo()
    asyncio.run(room.service.batches.carry_on())
    assert rows_with_jobs(room, batch) == len(list(room.spool.ready("info").iterdir())) == ROWS


def test_a_start_counts_them_too(room: Room, batch: str) -> None:
    other = Room(room.inbox.parent)
    asyncio.run(other.service.batches.resume())
    assert rows_with_jobs(other, batch) == TURN


def test_those_that_are_held_are_counted_as_held(room: Room, batch: str) -> None:
    # When all rows are held
    room.put("talk.hold", "")

    async def hold() -> None:
        await room.service.loops.scan_once()
        await room.service.batches.carry_on()

    asyncio.run(hold())
    # Then the status says of how many the jobs are
    status = room.status("talk")
    assert (status["state"], status["batch"]["held"], status["batch"]["left"]) == ("held", TURN, ROWS)
