"""Rows that cannot become jobs now wait for the machine, and say why; for a file that never comes to an end only once. When they
become jobs, they have the priority that was ordered meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from unittest.mock import Mock

import pytest

from daemon.errors import JobError, MachineError, Postponed
from daemon.intake.batches import running_batch
from daemon.intake.batches.row_results import RowResults
from daemon.intake.jobs.job_builder import JobBuilder
from daemon.queue import free_space
from tests.support.daemon.begun_batch import ROWS, Clock, begun
from tests.support.daemon.intake import COMPANION_WAIT_S, Room


def test_rows_wait_for_room_on_the_disk_and_none_fails(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a batch whose rows become jobs on a disk that is full for hours
    job = begun(room)
    clock = Clock(monkeypatch, COMPANION_WAIT_S)

    def full(*_: object) -> None:
        raise free_space.no_room_error("p.png", 7e6, 0.0)

    monkeypatch.setattr(JobBuilder, "_copy_companions", full)

    async def run(clock: Clock) -> None:
        for _ in range(4):
            await room.service.batches.carry_on()
            clock.work()
            # also where it has waited long enough for a file that is written to
            batch = room.service.batches._batches[job.id]
            assert batch.slice is not None
            batch.slice = replace(batch.slice[0], last=True), batch.slice[1]
        # Then its status says why no more rows become jobs
        told = room.status("talk")["next"]
        assert f"{ROWS} of its rows become jobs as soon as they can. " in told
        assert "does not fit on the spool's disk" in told
        # And all of them do when there is room again
        monkeypatch.undo()
        clock = Clock(monkeypatch, COMPANION_WAIT_S)
        clock.now += 1e6
        gone = MachineError("outbox-missing", "The outbox is not there.", "Mount it.")
        with monkeypatch.context() as patched:
            patched.setattr(RowResults, "publish_tables", Mock(side_effect=gone))
            await room.service.batches.carry_on()
        # And where its report cannot be written, the status says why it does not go on, until it does
        told = room.status("talk")["next"]
        assert told == "It ends when the jobs of its rows have. The outbox is not there. Mount it."
        clock.work()
        await room.service.batches.carry_on()

    asyncio.run(run(clock))
    assert len(list(room.spool.ready("info").iterdir())) == ROWS
    assert room.status("talk")["next"] == "It ends when the jobs of its rows have."


def test_rows_wait_only_once_for_a_file_that_is_always_written_to(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a batch that becomes jobs by three rows at a time, of a picture that another program writes to for ever
    job = begun(room)
    clock = Clock(monkeypatch, COMPANION_WAIT_S / 2)
    monkeypatch.setattr(running_batch, "SLICE", 3)

    def changing(*_: object) -> None:
        raise Postponed("file-changing", "p.png is written to again.", "Close the program that writes it.")

    monkeypatch.setattr(JobBuilder, "_copy_companions", changing)

    async def run() -> int:
        steps = 0
        while steps < 20 and (room.service.batches.running(job.id) or not steps):
            await room.service.batches.carry_on()
            clock.work()
            steps += 1
        return steps

    # When the first rows have waited as long as rows may, then the others do not wait as long again
    assert asyncio.run(run()) < 10  # steps; each lasts half as long as that
    assert room.status("talk/n8")["error"]["code"] == "file-changing"


def test_rows_that_are_made_after_a_priority_was_ordered_have_it(room: Room) -> None:
    job = begun(room, template='{kind: info, image: p.png, output: "{{name}}", priority: 3}')

    async def run() -> None:
        batches = room.service.batches
        assert batches.run is not None
        await batches.run({"op": "priority", "job": job.id, "by": "anna", "priority": -7})
        for _ in range(2):
            await batches.carry_on()

    asyncio.run(run())
    rows = [room.spool.load_job(place) for place in room.spool.job_folders(room.spool.ready("info"))]
    assert [row.priority for row in rows] == [-7] * ROWS


def test_a_file_that_is_there_but_is_not_to_be_read_is_not_called_missing(room: Room) -> None:
    (room.inbox.parent / "elsewhere.png").hardlink_to(room.put("linked.png", b"picture"))
    with pytest.raises(JobError, match=r"linked\.png is a hard link\..*Copy the file itself"):
        begun(room, template='{kind: info, image: "{{name}}.png"}', table="name\nlinked\n")
