"""A batch whose rows are checked, in a room without processes, and a clock for the turns in which their jobs are made."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.errors import JobError
from daemon.intake.batches import keeper, orders
from daemon.jobs.facts import StageFacts
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from stages.check.rows import check_rows
from stages.context import Context
from tests.support.daemon.intake import Room

ROWS = 9
TABLE = "name\n" + "".join(f"n{number}\n" for number in range(ROWS))


def begun(
    room: Room,
    template: str = '{kind: info, image: p.png, output: "{{name}}"}',
    more: str = "dedupe: false",
    table: str = TABLE,
    folder: str = "",
) -> Job:
    """A batch whose rows are checked. `folder`: of the inbox, with a slash at its end."""
    room.put(f"{folder}p.png", b"picture")
    room.put(f"{folder}talk.csv", table)
    room.put(
        f"{folder}talk.yaml",
        f"kind: batch\nrows: talk.csv\ntemplate: {template}\n{more}\n",
    )
    (job,) = room.settle()

    assert checked(room).id == job.id
    return job


def checked(room: Room) -> Job:
    """Check the rows of the batch that waits for that, and let it begin.

    Raises:
        JobError: what `check_rows` raises; the batch has failed by it.
    """

    async def check() -> Job:
        machine = room.service.state_machine
        ticket = room.service.ready_queue.head("check", 2e9)
        assert ticket is not None
        taken = await machine.start_attempt(ticket)
        assert taken is not None
        begun, folder = taken
        ctx = Context(begun.id, begun.name, folder, Manifest.model_validate(begun.manifest), room.settings)
        try:
            facts = check_rows(ctx)
        except JobError as exc:
            await machine.finish(begun, folder, "failed", exc)
            raise
        await machine.advance(begun, folder, cast(StageFacts, facts), ctx.warnings)
        return begun

    return asyncio.run(check())


class Clock:
    """A clock that goes on by a step at each piece of work only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
        self.now, self.step_s = 1e6, step_s
        for module in (keeper, orders):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, time=time.time))

    def work(self) -> None:
        """Go on by the step."""
        self.now += self.step_s
