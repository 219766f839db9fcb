"""A request about a job whose stage has just ended is carried out where the job goes, not where it was."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from daemon.system import fs
from daemon.system.file_calls import Ops
from tests.support.daemon.intake import SPEECH, Room

PATIENCE_S = 60.0


class SlowMove(Ops):
    """Keeps the record of a job that moves waiting."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.begun, self.go = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()

    def exchange(self, one: Path, other: Path) -> None:
        if self._folder in other.parents and not self.go.is_set():
            self._loop.call_soon_threadsafe(self.begun.set)
            assert self.go.wait(PATIENCE_S)
        super().exchange(one, other)


@pytest.mark.parametrize(("op", "end"), [("hold", "held"), ("cancel", "cancelled")])
def test_it_waits_until_the_job_is_in_its_next_queue(
    room: Room, monkeypatch: pytest.MonkeyPatch, op: str, end: str
) -> None:
    room.put("hello.yaml", SPEECH)
    (job,) = room.settle()
    service = room.service
    machine = service.state_machine

    async def live() -> None:
        (ticket,) = service.ready_queue.tickets()
        taken = await machine.start_attempt(ticket)
        assert taken is not None
        monkeypatch.setattr(fs, "OPS", SlowMove(taken[1]))
        machine.begin_to_put_down(taken[0])
        moving = asyncio.create_task(machine.advance(*taken, {}, []))
        await fs.OPS.begun.wait()  # type: ignore[attr-defined]
        assert service.batches.run is not None
        asked = asyncio.ensure_future(service.batches.run({"op": op, "job": job.id, "by": "ann"}))
        await asyncio.sleep(0)
        assert not asked.done()
        fs.OPS.go.set()  # type: ignore[attr-defined]
        await moving
        machine.end_putting_down(taken[0])
        await asked
        await service.status_writes.written()

    asyncio.run(asyncio.wait_for(live(), PATIENCE_S))
    # Then it has happened, for people and for the queue
    assert room.status("hello")["state"] == end
    assert len(service.ready_queue) == 0
    place = service.spool.find_job(job.id)
    assert place is not None
    assert place.parent.name == {"held": "held", "cancelled": "failed"}[end]
