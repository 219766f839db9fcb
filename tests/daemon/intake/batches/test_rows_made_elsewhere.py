"""Rows that a batch of a report makes, or has made, are not started again with the batch that the report is of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.control import batch_retries
from daemon.errors import JobError
from daemon.intake import fair_queue
from daemon.intake.batches.outcomes import Outcomes
from daemon.intake.jobs import job_builder
from daemon.jobs.record import row_id
from daemon.system import fs
from tests.daemon.intake.batches.test_reports_again import begin, end, hand_in, made_of, report_of
from tests.daemon.intake.batches.test_rows_alone import ask, carry_on, end_next
from tests.support.daemon.begun_batch import begun, checked
from tests.support.daemon.inbox_requests import state
from tests.support.daemon.intake import Room


def waiting(room: Room) -> int:
    return len(room.service.ready_queue)


def test_rows_that_a_batch_of_its_report_makes_are_not_started_again(room: Room) -> None:
    # Given a batch of which two rows failed, and one that is made of its report
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    hand_in(room, report_of(room, "talk"))
    # When the rows of the first are to be started again before the other one has ended / Then that is refused
    for running in (False, True):
        for job in (first, row_id(first, 2)):
            with pytest.raises(JobError, match="talk-v2, a batch of the same table, still runs") as told:
                ask(room, "retry", job)
            assert (told.value.code, "when talk-v2.json says" in told.value.hint) == ("batch-running", True)
        if not running:
            checked(room)
            asyncio.run(carry_on(room))
    assert waiting(room) == 2
    # When it has made one of them, from a cell that was mended / Then only the other row starts again
    end(room, "done", "failed")
    with pytest.raises(JobError, match="Row 2 of talk is done: talk-v2") as told:
        ask(room, "retry", row_id(first, 2))
    assert (told.value.code, waiting(room)) == ("job-not-failed", 0)
    assert ask(room, "retry", first) == "talk: 1 of its rows start again; 1 was made since by talk-v2."
    assert waiting(room) == 1
    # And the report of the first has the row as done, with the batch that made it
    end(room, "done")
    found, other = report_of(room, "talk"), report_of(room, "talk-v2")
    assert [row["_state"] for row in found] == ["done"] * 3
    assert found[1] == other[1] | {"name": "ben"}
    assert found[1]["_batch"] != first == found[2]["_batch"]
    # And now the second one has nothing to start but says what became of its row
    assert ask(room, "retry", other[1]["_batch"]) == "talk-v2: none of its rows start again; 1 was made since by talk."
    assert room.status("talk-v2")["batch"]["done"] == 2


def test_rows_without_jobs_that_a_batch_of_its_report_has_made_get_none(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that was stopped after it made jobs of two of its nine rows, and the rest made from its report, also where the
    # batch that made it is not kept any more
    batch = begun(room)
    for module in (fair_queue, job_builder):
        monkeypatch.setattr(module, "TURN_JOBS", 2, raising=False)
    asyncio.run(room.service.batches.carry_on())
    ask(room, "cancel", batch.id)
    hand_in(room, report_of(room, "talk")[:-1])
    checked(room)
    for _ in range(4):
        asyncio.run(carry_on(room))
    end(room, *["done"] * 8)
    assert state(room, "talk-v2") == "done"
    # When the first is started again / Then the row is made that nobody made
    told = ask(room, "retry", batch.id)
    assert told == "talk: 1 of its rows start again; 8 were made since by talk-v2."
    for _ in range(4):
        asyncio.run(carry_on(room))
    assert waiting(room) == 1
    end(room, "done")
    assert {row["_state"] for row in report_of(room, "talk")} == {"done"}


def test_equal_rows_get_the_result_that_a_batch_of_the_report_made(room: Room) -> None:
    # Given a batch of three equal rows which failed, the first of which was made since
    begun(room, '{kind: info, image: p.png, output: "{{name}}"}', more="", table="name\nanna\nben\ncleo\n")
    asyncio.run(carry_on(room))
    end(room, "failed")
    rows = report_of(room, "talk")
    assert {row["_state"] for row in rows} == {"failed"}
    hand_in(room, rows[:1])
    checked(room)
    asyncio.run(carry_on(room))
    end(room, "done")
    place = room.spool.find_job(report_of(room, "talk-v2")[0]["_job"])
    assert place is not None
    job = room.spool.load_job(place)
    job.outputs = {"outputs": [{"file": f"{job.name}.info.json", "bytes": 2, "sha256": ""}]}
    room.spool.save_job(job, place)
    (room.outbox / f"{job.name}.info.json").write_text("{}")
    # When the batch is started again / Then no job starts, and the others get the result
    told = ask(room, "retry", rows[0]["_batch"])
    assert told == "talk: 2 of its rows start again; 1 was made since by talk-v2."
    assert waiting(room) == 0
    assert [row["_state"] for row in report_of(room, "talk")] == ["done"] * 3
    assert [row["_file"] for row in report_of(room, "talk")][1:] == ["talk/ben.info.json", "talk/cleo.info.json"]
    assert (room.outbox / "talk/ben.info.json").read_text() == "{}"
    assert state(room, "talk") == "done"


def test_no_report_is_taken_while_the_rows_of_its_batch_are_being_started_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    rows = report_of(room, "talk")
    ended_still = batch_retries.BatchRetries._ended_still

    def meanwhile(*args: Any) -> Any:  # after the batch was found to be alone, before it runs again
        (job,) = hand_in(room, rows)
        assert job.error is not None
        assert job.error["code"] == "batch-running"
        return ended_still(*args)

    monkeypatch.setattr(batch_retries.BatchRetries, "_ended_still", meanwhile)
    ask(room, "retry", first)
    assert waiting(room) == 2


def test_two_rows_that_are_started_again_at_once_both_start(room: Room) -> None:
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")

    async def both() -> list[str]:
        run = room.service.batches.run
        assert run is not None
        asked = [run({"op": "retry", "job": row_id(first, row), "by": "anna"}) for row in (2, 3)]
        return await asyncio.gather(*asked)

    assert [told.split(",")[0] for told in asyncio.run(both())] == ["talk/ben starts again", "talk/cleo starts again."]
    assert waiting(room) == 2
    end(room, "done", "done")
    assert state(room, "talk") == "done"


@pytest.mark.parametrize("lost", ["all", "record"])
def test_how_rows_ended_is_on_disk_when_their_batch_has_ended(
    room: Room, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a disk that took no line while rows ended
    first = begin(room)[0]["_batch"]
    early = report_of(room, "talk")
    monkeypatch.setattr(Outcomes, "note", Outcomes._set)
    end(room, "done", "failed", "done")
    place = room.spool.find_job(first)
    assert place is not None
    # When a report of an earlier moment comes, and the records of the rows' jobs may be gone
    if lost == "all":
        for row in (1, 2, 3):
            job = room.spool.find_job(row_id(first, row))
            assert job is not None
            fs.remove(job)
    # Then no row is made again that was done
    assert len(list(Outcomes(place))) == 3
    assert made_of(room, early)[:2] == (1, 2)


def test_which_rows_start_again_is_on_disk_when_that_is_answered(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    # Given a disk that takes no lines, as those that are not flushed go by a power cut
    monkeypatch.setattr(Outcomes, "note", Outcomes._set)
    ask(room, "retry", first)
    place = room.spool.find_job(first)
    assert place is not None
    assert list(Outcomes(place)) == [1]


def test_a_batch_whose_outcomes_were_lost_ends_again(room: Room) -> None:
    # Given a batch that ended before this was written durably
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "done")
    place = room.spool.find_job(first)
    assert place is not None
    (place / "outcomes.jsonl").write_text("")
    # When its rows are started again / Then those that were done are known
    ask(room, "retry", first)
    end_next(room, "done")
    assert state(room, "talk") == "done"


def test_a_batch_with_a_base_and_a_table_of_its_own_is_another_batch(room: Room) -> None:
    # Given a batch that runs / When the same is asked for with another table / Then that is taken in
    first = begin(room)[0]["_batch"]
    room.put("other.csv", "name,title\nanna,Ms\n")
    room.put("other.yaml", f"kind: batch\nbase: {first}\nrows: other.csv\n")
    room.settle()
    assert checked(room).name == "other"
    ask(room, "hold", first)
    asyncio.run(carry_on(room))
    end(room, "done")
    assert state(room, "other") == "done"
    # And what it has made keeps no row from being started again
    ask(room, "cancel", first)
    assert ask(room, "retry", first) == "talk: 3 of its rows start again."


def test_rows_whose_jobs_retention_has_removed_are_not_said_to_start_again(room: Room) -> None:
    # Given a batch of which two rows failed, one of them so long ago that its job is gone
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    gone = room.spool.find_job(row_id(first, 2))
    assert gone is not None
    fs.remove(gone)
    # When it is started again / Then it is said how many rows start, and what the other one needs
    told = ask(room, "retry", first)
    assert told == (
        "talk: 1 of its rows start again; 1 cannot, since its job is not kept any more: for that, put its report into the inbox."
    )
    assert waiting(room) == 1
