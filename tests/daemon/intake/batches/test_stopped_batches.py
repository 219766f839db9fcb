"""A batch that is stopped in the middle of making its rows leaves none of them behind, and takes no more than its turn."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from daemon.errors import JobError
from daemon.intake import fair_queue
from daemon.intake.batches.outcomes import Outcome, Outcomes
from daemon.intake.batches.row_results import RowResults
from daemon.intake.batches.running_batch import RunningBatch
from daemon.intake.jobs import job_builder
from daemon.intake.jobs.job_builder import JobBuilder
from daemon.jobs.batch.files import ERRORS, OUTCOMES
from daemon.jobs.record import row_id
from daemon.queue.recovery import recover_spool
from tests.support.daemon.begun_batch import ROWS, Clock, begun, checked
from tests.support.daemon.intake import Room
from tests.support.daemon.watched_calls import Crash


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


def test_a_start_knows_how_long_the_rows_take_that_wait(room: Room) -> None:
    # Given a batch of which it is told how long it takes
    job = begun(room)

    def told(room: Room) -> float | None:
        running = room.service.batches.running(job.id)
        return room.service.turns.batch_s(running) if running else None

    asyncio.run(room.service.batches.carry_on())
    before = told(room)
    assert before is not None
    # When the daemon starts again, then it says the same of its rows, which stand where they stood
    again = Room(room.inbox.parent)

    async def start() -> None:
        await recover_spool(again.service.state_machine, again.service.outbox)
        await again.service.batches.resume()

    asyncio.run(start())
    assert told(again) == pytest.approx(before)


def test_what_was_wrong_with_half_a_table_is_not_told_of_the_whole_one(room: Room) -> None:
    # Given a batch that is checked again with the rest of its table, of which half a row was wrong
    room.put("talk.csv", "text\nHello.\n")
    room.put("talk.yaml", "kind: batch\nrows: talk.csv\ntemplate: {kind: speech}\n")
    (job,) = room.settle()
    (room.spool.folder_of(job) / ERRORS).write_text(f"row,line,column,code,message,hint,_batch\n1,2,,,,,{job.id}\n")
    # When all is right / Then no table of errors is made of it
    checked(room)
    asyncio.run(room.service.batches.carry_on())
    assert not (room.outbox / "talk.errors.csv").exists()
    assert (room.outbox / "talk.report.csv").exists()


def test_copies_for_equal_rows_are_made_in_turns_in_which_a_hold_is_heard(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch whose rows are all equal to the first, which is done, and copies that take half a turn
    job = begun(room, more="dedupe: true")
    clock = Clock(monkeypatch, fair_queue.TURN_S / 2)
    copied: list[int] = []

    def copy(self: RowResults, batch: object, rows: object, first: int, at: int, outcome: Outcome) -> Outcome:
        clock.work()
        copied.append(at)
        return outcome

    monkeypatch.setattr(RowResults, "copy_for", copy)

    async def run() -> None:
        service = room.service
        await service.batches.carry_on()
        ticket = service.ready_queue.head("info", 2e9)
        assert ticket is not None
        taken = await service.state_machine.start_attempt(ticket)
        assert taken is not None
        await service.state_machine.finish(*taken, "done")
        # When it is carried on, then it makes two of the copies, and wants to go on at once
        assert await service.batches.carry_on() == 0.0
        assert len(copied) == 2
        # And its status counts them, though it is not time to write the report again
        assert room.status("talk")["batch"]["done"] == 3
        # And none while it is held
        running = service.batches.running(job.id)
        assert running is not None
        running.held = {"by": "anna", "reason": "", "since": 0.0}
        await service.batches.carry_on()
        assert len(copied) == 2
        running.held = None
        while len(copied) < ROWS - 1:
            await service.batches.carry_on()

    asyncio.run(run())
    assert room.status("talk")["batch"]["done"] == ROWS


@pytest.mark.parametrize("op", ["cancel", "hold"])
def test_rows_are_cancelled_or_held_in_turns_and_none_starts_meanwhile(
    room: Room, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    # Given a batch whose rows wait, and requests for rows that take half a turn
    job = begun(room)
    clock = Clock(monkeypatch, fair_queue.TURN_S / 2)
    asked: list[str] = []

    async def run() -> None:
        service = room.service
        batches, queue, ask = service.batches, service.ready_queue, service.batches.run
        assert ask is not None
        await batches.carry_on()
        assert queue.count("info") == ROWS

        async def slowly(request: dict[str, Any]) -> str:
            clock.work()
            asked.append(request["job"])
            return await ask(request)

        # When it is cancelled or held, then a turn does so with two of them, and the others cannot start
        batches.run = slowly
        said = await ask({"op": op, "job": job.id, "by": "anna"})
        if op == "cancel":
            assert queue.count("info") == 0
            with pytest.raises(JobError) as told:
                await ask({"op": "priority", "job": job.id, "by": "anna", "priority": 9})
            assert told.value.message == "The rows of talk are being cancelled already."
            assert await batches.carry_on() == 0.0
        else:
            assert "and so are 2 of its rows, and 7 more are being held, of which none starts" in said
            await ask({"op": "priority", "job": row_id(job.id, 3), "by": "anna", "priority": 9})  # not reached yet
        assert len(asked) == 2
        assert queue.count("info") == 0

    asyncio.run(run())
    # And a daemon that comes after this one goes on with it before any of them starts
    again = Room(room.inbox.parent)

    async def go_on() -> None:
        await recover_spool(again.service.state_machine, again.service.outbox)
        await again.service.batches.resume()
        assert again.service.ready_queue.count("info") == 0
        for _ in range(6):
            await again.service.batches.carry_on()
        assert again.service.ready_queue.count("info") == 0

    asyncio.run(go_on())
    assert again.status("talk")["state"] == ("cancelled" if op == "cancel" else "held")


def test_rows_are_started_again_in_turns_also_after_a_restart_and_each_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that was cancelled, and requests for rows that take half a turn
    job = begun(room)
    clock = Clock(monkeypatch, fair_queue.TURN_S / 2)

    async def run() -> None:
        service = room.service
        batches, queue, ask = service.batches, service.ready_queue, service.batches.run
        assert ask is not None
        await batches.carry_on()
        await ask({"op": "cancel", "job": job.id, "by": "anna"})
        for _ in range(9):
            await batches.carry_on()
        assert room.status("talk")["state"] == "cancelled"

        async def slowly(request: dict[str, Any]) -> str:
            clock.work()
            return await ask(request)

        # When its rows are started again, then other requests are heard after a turn
        batches.run = slowly
        await ask({"op": "retry", "job": job.id, "by": "anna"})
        assert queue.count("info") == 2
        assert room.status("talk")["batch"]["left"] == ROWS
        # And when it is held, then the others are held in place of being started, and nothing is left to do
        await ask({"op": "hold", "job": job.id, "by": "anna"})
        for _ in range(9):
            await batches.carry_on()
        assert queue.count("info") == 0
        assert (room.status("talk")["state"], room.status("talk")["batch"]["held"]) == ("held", ROWS)
        assert await batches.carry_on() != 0.0
        await ask({"op": "release", "job": job.id, "by": "anna"})
        assert queue.count("info") == 2
        ticket = queue.head("info", 3e9)
        assert ticket is not None
        taken = await service.state_machine.start_attempt(ticket)
        assert taken is not None
        await service.state_machine.finish(*taken, "failed", JobError("image-unreadable", "It is no picture."))
        # And a power cut takes the note of that
        (room.spool.batches / job.id / OUTCOMES).write_bytes(b"")

    asyncio.run(run())
    # When the daemon starts again, then it goes on with the others, but not with one that has ended once more
    again = Room(room.inbox.parent)

    async def go_on() -> None:
        await recover_spool(again.service.state_machine, again.service.outbox)
        await again.service.batches.resume()
        for _ in range(9):
            await again.service.batches.carry_on()
        assert again.service.ready_queue.count("info") == ROWS - 1

    asyncio.run(go_on())
    assert (again.status("talk")["batch"]["failed"], again.status("talk")["batch"]["left"]) == (1, ROWS - 1)


def test_rows_without_jobs_get_some_where_a_crash_comes_as_they_are_started_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that was cancelled before any row had a job
    job = begun(room)

    async def run() -> None:
        ask = room.service.batches.run
        assert ask is not None
        await ask({"op": "cancel", "job": job.id, "by": "anna"})
        await room.service.batches.carry_on()
        assert room.status("talk")["batch"]["cancelled"] == ROWS
        # When the daemon is killed as soon as its rows are to be started again
        monkeypatch.setattr(Outcomes, "take_back", Mock(side_effect=Crash))
        with pytest.raises(Crash):
            await ask({"op": "retry", "job": job.id, "by": "anna"})

    asyncio.run(run())
    monkeypatch.undo()
    again = Room(room.inbox.parent)

    async def go_on() -> None:
        await again.service.batches.resume()
        # Then the next one notes first, durably, that none has ended, so that no power cut can take that from later rows
        assert (room.spool.batches / job.id / OUTCOMES).read_bytes() == b""
        for _ in range(3):
            await again.service.batches.carry_on()

    asyncio.run(go_on())
    assert again.service.ready_queue.count("info") == ROWS


@pytest.mark.parametrize(
    ("op", "begins"),
    [
        ("hold", (JobBuilder, "_publish")),
        ("priority", (JobBuilder, "_publish")),
        ("hold", (RunningBatch, "next_slice")),
    ],
)
def test_a_request_that_comes_while_rows_are_made_is_one_for_these_too(
    room: Room, monkeypatch: pytest.MonkeyPatch, op: str, begins: tuple[type, str]
) -> None:
    # Given a batch whose rows have a priority of their own, and are about to appear in their queue, or to be read, when somebody
    # holds it, or gives it another priority
    job = begun(room, template='{kind: info, image: p.png, output: "{{name}}", priority: 3}')
    go_on = getattr(*begins)
    waiting: list[int] = []

    async def run() -> None:
        loop, ask = asyncio.get_running_loop(), room.service.batches.run
        assert ask is not None

        async def asked() -> None:
            await ask({"op": op, "job": job.id, "by": "anna", "priority": 7})
            counts = room.spool.load_job(room.spool.batches / job.id).facts.batch
            assert counts is not None
            assert counts.orders  # it is known after a crash, too

        def ask_and_go_on(self: object, *made: Any) -> Any:
            asyncio.run_coroutine_threadsafe(asked(), loop).result()
            return go_on(self, *made)

        async def held(request: dict[str, Any]) -> str:
            waiting.append(room.service.ready_queue.count("info"))
            return await ask(request)

        monkeypatch.setattr(*begins, ask_and_go_on)
        room.service.batches.run = held
        await room.service.batches.carry_on()

    asyncio.run(run())
    # Then they are held, before one could start, or have it, as those that were made before
    folder = room.spool.resting("held") if op == "hold" else room.spool.ready("info")
    rows = [room.spool.load_job(place) for place in room.spool.job_folders(folder)]
    assert [row.priority for row in rows] == [3 if op == "hold" else 7] * ROWS
    assert set(waiting) == {0 if op == "hold" else ROWS}


def test_a_hold_goes_before_another_priority_that_rows_are_being_given(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch whose rows are being given another priority, in turns
    job = begun(room)
    clock = Clock(monkeypatch, fair_queue.TURN_S / 2)

    async def run() -> None:
        service = room.service
        batches, queue, ask = service.batches, service.ready_queue, service.batches.run
        assert ask is not None
        await batches.carry_on()

        async def slowly(request: dict[str, Any]) -> str:
            clock.work()
            return await ask(request)

        batches.run = slowly
        await ask({"op": "priority", "job": job.id, "by": "anna", "priority": 5})
        # When it is held, then no row waits to be started, and the answer counts those that are held
        said = await ask({"op": "hold", "job": job.id, "by": "anna"})
        assert "so are 2 of its rows, and 7 more are being held" in said
        assert queue.count("info") == 0
        # And when it is released at once, then all of them go on with the other priority
        await ask({"op": "release", "job": job.id, "by": "anna"})
        for _ in range(20):
            await batches.carry_on()
        assert queue.count("info") == ROWS

    asyncio.run(run())
    rows = [room.spool.load_job(place) for place in room.spool.job_folders(room.spool.ready("info"))]
    assert [row.priority for row in rows] == [5] * ROWS


def test_a_start_finds_the_end_of_a_row_that_a_power_cut_took_before_its_turn_was_over(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch of which a turn has made some rows, one of which has ended, and a power cut that took the note of it
    job = begun(room)
    monkeypatch.setattr(fair_queue, "TURN_JOBS", 4)

    async def end_one(room: Room) -> None:
        service = room.service
        if (ticket := service.ready_queue.head("info", 2e9)) is not None:
            taken = await service.state_machine.start_attempt(ticket)
            assert taken is not None
            await service.state_machine.finish(*taken, "done")

    async def begin() -> None:
        await room.service.batches.carry_on()
        await end_one(room)

    asyncio.run(begin())
    (room.spool.batches / job.id / OUTCOMES).unlink()
    with (room.inbox / "talk.csv").open("a") as table:
        table.write("one more\n")
    # When the daemon starts again, then the batch ends with all its rows, and warns of one that was added to the table meanwhile
    again = Room(room.inbox.parent)

    async def go_on() -> None:
        await recover_spool(again.service.state_machine, again.service.outbox)
        await again.service.batches.resume()
        for _ in range(2 * ROWS):
            await again.service.batches.carry_on()
            await end_one(again)

    asyncio.run(go_on())
    assert (again.status("talk")["state"], again.status("talk")["batch"]["done"]) == ("done", ROWS)
    assert again.status("talk")["warnings"][0].startswith(
        "talk.csv has rows that were added when it had been read already"
    )
