"""One row of a batch can be asked for something as any other job, and its batch tells what became of it."""

from __future__ import annotations

import asyncio
import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from daemon.client import Client
from daemon.doors.requests import put_request_file
from daemon.errors import AvatarError, JobError
from daemon.intake import fair_queue
from daemon.intake.jobs import job_builder
from daemon.jobs.batch.files import OUTCOMES
from daemon.jobs.record import Job, row_id
from daemon.queue.recovery import recover_spool
from tests.support.daemon.begun_batch import ROWS, begun
from tests.support.daemon.inbox_requests import look, state
from tests.support.daemon.intake import SETTLE_S, Room


async def carry_on(room: Room) -> None:
    for _ in range(4):
        await room.service.batches.carry_on()


def ask(room: Room, op: str, job: str) -> str:
    """Ask for something, and carry the batches on."""

    async def asked() -> str:
        assert room.service.batches.run is not None
        answer = await room.service.batches.run({"op": op, "job": job, "by": "anna"})
        await carry_on(room)
        return answer

    return asyncio.run(asked())


def with_jobs(room: Room, more: str = "dedupe: false") -> Job:
    job = begun(room, more=more)
    asyncio.run(carry_on(room))
    return job


def end_next(room: Room, end: str) -> None:
    """End the row that would start next."""

    async def run() -> None:
        ticket = room.service.ready_queue.head("info", 2e9)
        assert ticket is not None
        taken = await room.service.state_machine.start_attempt(ticket)
        assert taken is not None
        error = JobError("image-unreadable", "It is no picture.") if end == "failed" else None
        await room.service.state_machine.finish(*taken, end, error)  # type: ignore[arg-type]
        await carry_on(room)

    asyncio.run(run())


def reported(room: Room) -> dict[str, str]:
    with (room.outbox / "talk.report.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["name"]: row["_state"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("has_subfolders", [True, False])
def test_a_request_file_for_one_row_is_called_as_the_status_of_the_row_says(
    tmp_path: Path, has_subfolders: bool
) -> None:
    room = Room(tmp_path, subfolders=has_subfolders)
    room.look()
    with_jobs(room)
    # Given a file that is called like one row, in a folder called like its batch, which a door makes
    put_request_file(room.settings.paths, "talk/n3", "hold")
    assert stat.S_IMODE((room.inbox / "talk").stat().st_mode) & stat.S_IRWXG == stat.S_IRWXG
    look(room)
    # Then that row is held and no other, and its status says which file releases it
    assert [state(room, f"talk/n{number}") for number in (2, 3, 4)] == ["queued", "held", "queued"]
    said = "put an empty file n3.release into the folder talk of the inbox (make it, if it is not there)"
    assert said in room.status("talk/n3")["next"]
    put_request_file(room.settings.paths, "talk/N3.info.json", "release")
    look(room)
    assert state(room, "talk/n3") == "queued"
    # And a file beside the manifest of the batch means no row
    put_request_file(room.settings.paths, "n3", "hold")
    look(room)
    assert state(room, "talk/n3") == "queued"


def test_the_answer_to_a_release_of_a_batch_counts_no_rows_where_none_is_held(room: Room) -> None:
    # Given a batch that is held, and of which each row was released by itself
    batch = with_jobs(room)
    assert f"so are {ROWS} of its rows; rows that run" in ask(room, "hold", batch.id)
    for number in range(1, ROWS + 1):
        ask(room, "release", row_id(batch.id, number))
    # When it is released / Then no number of rows is told
    assert ask(room, "release", batch.id) == "talk goes on."


def test_the_folder_of_requests_for_rows_goes_with_the_last_of_them_and_never_before(room: Room) -> None:
    # Given a folder called like a batch, and a request for a job that came from there: it is left as it is
    with_jobs(room)
    room.put("talk/own.yaml")
    room.settle()
    room.put("talk/own.hold", "")
    look(room)
    assert (state(room, "talk/own"), list((room.inbox / "talk").iterdir())) == ("held", [])
    # When a request for a row lies in it beside something else, it stays; with the last request it goes
    put_request_file(room.settings.paths, "talk/n3", "hold")
    note = room.put("talk/note.txt", "Mine.")
    look(room)
    assert list((room.inbox / "talk").iterdir()) == [note]
    note.unlink()
    put_request_file(room.settings.paths, "talk/n3", "release")
    look(room)
    assert state(room, "talk/n3") == "queued"
    assert not (room.inbox / "talk").exists()


def test_a_folder_that_was_there_before_its_batch_stays(room: Room) -> None:
    # Given an empty folder of somebody's, and a batch that is called like it later
    (room.inbox / "talk").mkdir()
    with_jobs(room)
    # When the last request for a row is taken out of it / Then it is left
    put_request_file(room.settings.paths, "talk/n3", "hold")
    look(room)
    assert (state(room, "talk/n3"), list((room.inbox / "talk").iterdir())) == ("held", [])


def test_a_request_survives_that_its_folder_is_removed_at_that_moment(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, times = Path.touch, iter([True, False])

    def late(path: Path, **keys: Any) -> None:
        if next(times):
            path.parent.rmdir()
        touch(path, **keys)

    monkeypatch.setattr(Path, "touch", late)
    put_request_file(room.settings.paths, "talk/n3", "hold")
    assert (room.inbox / "talk" / "n3.hold").exists()


def test_a_row_whose_request_would_lie_too_deep_says_another_way(room: Room) -> None:
    # Given a batch in the last folder that is looked into
    folder = "a/b/c/d/"
    batch = begun(room, folder=folder)
    asyncio.run(carry_on(room))
    ask(room, "hold", row_id(batch.id, 4))
    # Then the status of a held row names the command, its request file is refused, and the outbox lists it
    said = room.status(f"{folder}talk/n3")["next"]
    assert said == "It waits until it is released: run `avatar jobs release a/b/c/d/talk/n3`."
    with pytest.raises(AvatarError) as refused:
        put_request_file(room.settings.paths, f"{folder}talk/n3", "release")
    assert (refused.value.code, "`avatar jobs release`" in refused.value.hint) == ("not-allowed", True)
    assert f"{folder}talk/n3" in room.service.outbox.names()
    # And a request file that somebody puts there is answered with the command, too
    room.put(f"{folder}talk/n3.release", "")
    look(room)
    room.admission.strays.answer()
    assert f"`avatar jobs hold {folder}talk/ROW`" in (room.outbox / f"{folder}talk.txt").read_text()
    # And the batch itself is asked by a file
    put_request_file(room.settings.paths, f"{folder}talk", "hold")
    look(room)
    assert room.status(f"{folder}talk")["held"]


def test_a_row_that_is_started_again_alone_is_told_of_by_its_batch(room: Room) -> None:
    # Given a batch that was cancelled
    batch = with_jobs(room)
    ask(room, "cancel", batch.id)
    assert state(room, "talk") == "cancelled"
    # When one of its rows is started again, and is done
    told = ask(room, "retry", row_id(batch.id, 4))
    assert told == "talk/n3 starts again, and its batch talk goes on until it has ended."
    assert (state(room, "talk"), room.status("talk")["batch"]["left"]) == ("running", 1)
    end_next(room, "done")
    # Then the batch has ended again, and its status and its report know that row
    counts = room.status("talk")["batch"]
    assert (state(room, "talk"), counts["done"], counts["cancelled"]) == ("done", 1, ROWS - 1)
    assert reported(room) == {f"n{number}": "done" if number == 3 else "cancelled" for number in range(ROWS)}


class Crash(BaseException):
    """The daemon dies."""


def test_a_crash_while_a_row_is_started_again_loses_no_end_of_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a daemon that dies when the row waits again, before it could note more
    batch = with_jobs(room)
    ask(room, "cancel", batch.id)
    move = room.service.state_machine.durable.move

    async def then_die(job: Job, directory: Path, **keys: bool) -> Path:
        place = await move(job, directory, **keys)
        if job.facts.row is not None:
            raise Crash
        return place

    monkeypatch.setattr(room.service.state_machine.durable, "move", then_die)
    with pytest.raises(Crash):
        ask(room, "retry", row_id(batch.id, 4))
    # When another one carries the batch on / Then it waits for that row
    other = Room(room.inbox.parent)

    async def start() -> None:
        await other.service.batches.resume()
        await carry_on(other)

    asyncio.run(start())
    assert (state(other, "talk"), other.status("talk")["batch"]["left"]) == ("running", 1)


def test_a_row_with_equal_ones_takes_them_along(room: Room) -> None:
    batch = begun(room, template='{kind: info, image: p.png, output: "{{name}}"}', more="")
    asyncio.run(carry_on(room))
    ask(room, "cancel", batch.id)
    ask(room, "retry", row_id(batch.id, 1))
    assert room.status("talk")["batch"]["left"] == ROWS  # all of them are the same picture


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_row_that_is_started_again_while_its_batch_runs_takes_equal_ones_along(room: Room, power_cut: bool) -> None:
    # Given a batch that runs, of which a row has failed, and with it one that gets the same result
    room.put("q.png", b"other picture")
    template = '{kind: info, image: "{{picture}}", output: "{{name}}"}'
    job = begun(room, template, "dedupe: true", "name,picture\nn0,p.png\nn1,p.png\nn2,q.png\n")
    asyncio.run(carry_on(room))
    end_next(room, "failed")
    known = room.spool.batches / job.id / OUTCOMES
    before = known.read_bytes()
    assert before.count(b"failed") == 2
    # When the row is started again, also where a power cut takes away that this was noted
    ask(room, "retry", row_id(job.id, 1))
    if power_cut:
        known.write_bytes(before)
        room = Room(room.inbox.parent)
        asyncio.run(recover_spool(room.service.state_machine, room.service.outbox))
        asyncio.run(room.service.batches.resume())
    end_next(room, "done")
    end_next(room, "done")
    # Then the other row gets the new result
    assert (room.status("talk")["state"], room.status("talk")["batch"]["done"]) == ("done", 3)


def test_a_row_of_a_batch_that_would_stop_it_again_is_refused(room: Room) -> None:
    # Given a batch that stopped when a row failed
    batch = with_jobs(room, "dedupe: false\non_error: stop")
    end_next(room, "failed")
    assert state(room, "talk") == "failed"
    # When another row is started again / Then the answer says how all are
    with pytest.raises(AvatarError) as refused:
        ask(room, "retry", row_id(batch.id, 5))
    assert refused.value.code == "rows-together"
    assert "talk.retry into the inbox" in refused.value.hint
    assert state(room, "talk/n4") == "cancelled"


def test_a_request_for_a_row_that_never_had_a_job_is_answered_at_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that was stopped before all its rows had jobs
    begun(room, more="dedupe: false\non_error: stop")
    for module in (fair_queue, job_builder):
        monkeypatch.setattr(module, "TURN_JOBS", 2, raising=False)
    asyncio.run(room.service.batches.carry_on())
    end_next(room, "failed")
    assert (state(room, "talk"), state(room, "talk/n7")) == ("failed", None)
    # When one of those rows is started again, by a file or by a program
    put_request_file(room.settings.paths, "talk/N7", "retry")
    look(room)
    with pytest.raises(AvatarError) as refused:
        Client(room.settings).get("talk/n7")
    # Then the answer says at once what is to be done
    answer = (room.outbox / "talk" / "N7.retry.txt").read_text()
    for said in (answer, f"{refused.value.message} {refused.value.hint}"):
        assert "talk/n7 has no job: talk was stopped before one was made of row 8." in said
        assert "put an empty file talk.retry into the inbox" in said
    assert not (room.inbox / "talk").exists()


def test_a_request_for_a_row_that_gets_the_result_of_another_names_that_one(room: Room) -> None:
    begun(room, template='{kind: info, image: p.png, output: "{{name}}"}', more="")
    put_request_file(room.settings.paths, "talk/n3", "hold")
    look(room)
    answer = (room.outbox / "talk" / "n3.hold.txt").read_text()
    assert "row 4 of talk is equal to row 1, and gets the same result. Ask for talk/n0 instead." in answer


def test_a_report_makes_no_row_twice_that_its_batch_still_makes(room: Room) -> None:
    # Given a batch that runs, and its report as it is then
    batch = with_jobs(room)
    end_next(room, "failed")
    table = (room.outbox / "talk.report.csv").read_bytes()

    def handed_in() -> dict[str, Any]:
        room.put("talk.report.csv", table)
        jobs = [job for _ in range(6) for job in room.look(SETTLE_S)]
        assert [job.name for job in jobs] == ["talk-v2"]
        return room.status("talk-v2")

    # When that is put into the inbox / Then it is refused until the batch has ended
    refused = handed_in()
    assert (refused["state"], refused["error"]["code"]) == ("failed", "batch-running")
    assert "when talk.json says that the batch has ended" in refused["error"]["hint"]
    assert refused["next"] == f"Nothing is to be mended in talk.report.csv. {refused['error']['hint']}"
    # And what its sender may have mended in it is not lost: it comes back
    while room.service.returner.give_back_next():
        pass
    assert (room.outbox / "talk-v2.csv").read_bytes() == table
    told = json.loads((room.outbox / "talk-v2.json").read_bytes())["next"]
    assert told.endswith(f"is your table. Nothing is to be mended in it. {refused['error']['hint']}")
    ask(room, "cancel", batch.id)
    assert handed_in()["state"] == "queued"


def test_a_table_that_is_cancelled_while_it_waits_for_a_file_comes_back(room: Room) -> None:
    # Given a table that names a picture which is not there
    table = b"text,image\nHello.,gone.png\n"
    room.put("two.csv", table)
    for _ in range(6):
        room.look(SETTLE_S)
    # When it is cancelled / Then it comes back as it was
    room.put("two.cancel", "")
    look(room)
    room.look(SETTLE_S)
    while room.service.returner.give_back_next():
        pass
    assert room.status("two")["state"] == "cancelled"
    assert (room.outbox / "two.csv").read_bytes() == table


def test_a_request_that_came_before_its_row_is_heard_when_the_row_is_made(room: Room) -> None:
    # Given a request for a row, whose job is not made yet
    room.put("talk/n3.hold", "")
    begun(room)
    look(room)
    heard = room.service._wake.notifications
    # When that is made / Then the inbox is looked at again, and the row is held
    asyncio.run(carry_on(room))
    assert room.service._wake.notifications > heard
    look(room)
    assert state(room, "talk/n3") == "held"


def test_a_batch_says_that_it_is_held_where_all_of_its_rows_are_and_how_to_release_them(room: Room) -> None:
    # Given a batch, and another one, whose table is not checked, so that nobody knows how long it takes
    job = with_jobs(room)
    room.put("new.csv", "text\nHello.\n")
    room.put("new.yaml", "kind: batch\nrows: new.csv\ntemplate: {kind: speech}\n")
    room.settle()
    assert room.status("new")["eta_s"] is None
    # When one of its rows is held, then the batch goes on, and says so
    rows = [row_id(job.id, number) for number in range(1, ROWS + 1)]
    ask(room, "hold", rows[0])
    status = room.status("talk")
    assert (status["state"], status["batch"]["held"]) == ("running", 1)
    assert "1 of its rows is held: to let it go on, put an empty file talk.release into the inbox" in status["next"]
    # But when all are, it is held itself, and ends at no time that is known
    for row in rows[1:]:
        ask(room, "hold", row)
    status = room.status("talk")
    assert (status["state"], status["batch"]["held"], status["eta_s"]) == ("held", ROWS, None)
    assert "put an empty file talk.release into the inbox" in status["next"]
    # Until one of them is released
    ask(room, "release", rows[3])
    assert (room.status("talk")["state"], room.status("talk")["batch"]["held"]) == ("running", ROWS - 1)
