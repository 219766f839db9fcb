"""A batch that is stopped in the middle of making its rows leaves none of them behind."""

from __future__ import annotations

import asyncio

import pytest

from daemon.intake import fair_queue, job_builder
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from stages.check.rows import check_rows
from stages.context import Context
from tests.support.daemon.intake import Room

ROWS = 9


def begun(room: Room) -> Job:
    """A batch whose rows are checked."""
    room.put("p.png", b"picture")
    room.put("talk.csv", "name\n" + "".join(f"n{number}\n" for number in range(ROWS)))
    room.put(
        "talk.yaml",
        'kind: batch\nrows: talk.csv\ntemplate: {kind: info, image: p.png, output: "{{name}}"}\ndedupe: false\n',
    )
    (job,) = room.settle()

    async def check() -> Job:
        machine = room.service.state_machine
        ticket = room.service.ready_queue.head("check", 2e9)
        assert ticket is not None
        taken = await machine.start_attempt(ticket)
        assert taken is not None
        begun, folder = taken
        manifest = Manifest.model_validate(begun.manifest)
        facts = check_rows(Context(begun.id, begun.name, folder, manifest, room.settings))
        await machine.advance(begun, folder, dict(facts), [])
        return begun

    assert asyncio.run(check()).id == job.id
    return job


@pytest.mark.parametrize("restart", [False, True])
def test_rows_that_were_made_in_an_unfinished_turn_are_cancelled_too(
    room: Room, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    # Given a batch of which a turn has made some rows, and has not come to its end
    job = begun(room)
    for module in (fair_queue, job_builder):
        monkeypatch.setattr(module, "TURN_JOBS", 4, raising=False)

    async def take_some() -> None:
        await room.service.batches.carry_on()

    asyncio.run(take_some())
    made = {path.name for path in room.spool.ready("info").iterdir()}
    assert 0 < len(made) < ROWS
    # When it is cancelled, also by a daemon that comes after that one
    if restart:
        room = Room(room.inbox.parent)

    async def cancel() -> None:
        service = room.service
        await service.batches.resume()
        await service.batches.stop(job.id, "anna")
        for _ in range(20):
            await service.batches.carry_on()

    asyncio.run(cancel())
    # Then no row waits any more, and the status counts them all
    assert list(room.spool.ready("info").iterdir()) == []
    status = room.status("talk")
    assert (status["state"], status["batch"]["cancelled"], status["batch"]["left"]) == ("cancelled", ROWS, 0)
