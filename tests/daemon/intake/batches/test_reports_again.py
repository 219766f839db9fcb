"""A report that comes back makes no row again that is done, whenever it was written, and says which rows it leaves out."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from daemon.errors import JobError
from daemon.intake import admission
from daemon.jobs.record import Job
from daemon.system import fs
from tests.daemon.intake.batches.test_rows_alone import ask, carry_on, end_next
from tests.support.daemon.begun_batch import begun, checked
from tests.support.daemon.intake import SETTLE_S, Room

TABLE = "name,title\nanna,Ms\nben,Mr\ncleo,Ms\n"
TEMPLATE = '{kind: info, image: p.png, output: "{{name}}", metadata: {title: "{{title}}"}}'


def report_of(room: Room, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((room.outbox / f"{name}.report.csv").read_text("utf-8-sig"))))


def hand_in(room: Room, rows: list[dict[str, str]], *names: str) -> list[Job]:
    """Put a report into the inbox, under each of these names; returns the jobs that become of it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    for name in names or ("talk.report.csv",):
        room.put(name, text.getvalue())
    return [job for _ in range(6) for job in room.look(SETTLE_S)]


def begin(room: Room) -> list[dict[str, str]]:
    """Begin a batch of three rows; returns its report of that moment, in which all rows wait."""
    begun(room, TEMPLATE, table=TABLE)
    asyncio.run(carry_on(room))
    return report_of(room, "talk")


def end(room: Room, *states: str) -> None:
    for state in states:
        end_next(room, state)


def made_of(room: Room, rows: list[dict[str, str]]) -> tuple[int, int, list[str]]:
    """Hand a report in and check it; returns how many rows are made, how many are left out as done, and the warnings."""
    hand_in(room, rows)
    job = checked(room)
    asyncio.run(carry_on(room))
    facts: dict[str, Any] = room.status(job.name)["stages"]["check"]
    return facts["rows"], facts["done_rows"], room.status(job.name)["warnings"]


def test_a_report_from_the_middle_of_a_batch_makes_only_what_is_not_done(room: Room) -> None:
    # Given a report from when all rows waited, of a batch that has ended since; one row failed
    early = begin(room)
    assert {row["_state"] for row in early} == {"waiting"}
    end(room, "done", "failed", "done")
    # When it is put into the inbox / Then that row alone is made, and the status says which are not
    assert made_of(room, early) == (
        1, 2, ["Rows 1, 3 of talk.report.csv were done after that report was written, and are left out."],
    )  # fmt: skip
    # And the new report has all rows, with the batch that made each
    end(room, "done")
    found = report_of(room, "talk-v2")
    assert [row["_state"] for row in found] == ["done"] * 3
    assert found[0]["_batch"] == found[2]["_batch"] == early[0]["_batch"] != found[1]["_batch"]
    assert found[0]["_job"] == early[0]["_job"]
    # When the same report comes once more / Then the first batch's rows are done, and those of the second one
    hand_in(room, early)
    with pytest.raises(JobError) as told:
        checked(room)
    assert told.value.message == (
        "No row of talk.report.csv is left: all 3 are done, 3 of them since that report was written."
    )
    assert (told.value.code, "empty their cells in the column `_state`" in told.value.hint) == ("rows-done", True)


def test_a_row_that_was_mended_in_an_early_report_is_made_again(room: Room) -> None:
    early = begin(room)
    end(room, "done", "done", "done")
    # Given a cell that is mended, one that asks for its row again, and a row that is as it was
    early[0]["title"] = "Dr"
    early[1]["_state"] = ""
    made, left, warnings = made_of(room, early)
    assert (made, left) == (2, 1)
    assert warnings[1].startswith("Row 1 of talk.report.csv was done after that report was written, and is made again")
    end(room, "done", "done")
    # When a row is mended that the report itself says is done / Then it is left out, and the status says how it is made
    late = report_of(room, "talk-v2")
    late[2]["title"], late[0]["_state"] = "Dr", ""
    made, left, warnings = made_of(room, late)
    assert (made, left) == (1, 2)
    assert "Row 3 of talk.report.csv is left out as done, although" in warnings[0]
    assert "To make it again, empty `_state` there" in warnings[0]


def test_reports_that_come_together_make_no_row_twice(room: Room) -> None:
    # Given two copies of the report of a batch, which come at the same moment
    begin(room)
    end(room, "done", "failed", "failed")
    report = report_of(room, "talk")
    jobs = hand_in(room, report, "talk.report.csv", "copy.csv")
    # Then one of them is refused
    assert sorted((job.state, job.error["code"] if job.error else "") for job in jobs) == [
        ("failed", "batch-running"), ("queued", ""),
    ]  # fmt: skip
    # And while the other one runs, so is its own report, whose first row is of the earlier batch
    first = checked(room)
    asyncio.run(carry_on(room))
    running = report_of(room, first.name)
    assert running[0]["_batch"] != running[1]["_batch"]
    (refused,) = hand_in(room, running)
    assert (refused.error["code"], first.name in refused.error["message"]) == ("batch-running", True)  # type: ignore[index]


def test_what_earlier_batches_made_is_known_when_they_are_gone(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = (f"job-20260101T00000{second}Z-ffffff00" for second in range(9))  # one a second
    monkeypatch.setattr(admission, "new_job_id", lambda: next(ids))
    # Given a batch of a report, whose first batch is not kept any more
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    hand_in(room, report_of(room, "talk"))
    second = checked(room)
    asyncio.run(carry_on(room))
    end(room, "done", "failed")
    place = room.spool.find_job(first)
    assert place is not None
    fs.remove(place)
    # When its report comes back, in which the rows are said not to be done
    rows = report_of(room, second.name)
    for row in rows:
        row["_state"] = "waiting"
    # Then what both have made is left out
    assert made_of(room, rows)[:2] == (1, 2)


def test_a_report_that_a_manifest_names_makes_no_row_again_either(room: Room) -> None:
    # Given an early report that comes with a manifest, as a door or a person writes one
    early = begin(room)
    manifest = f"kind: batch\nrows: talk.report.csv\ntemplate: {TEMPLATE}\ndedupe: false\n"
    room.put("more.yaml", manifest)
    (refused,) = hand_in(room, early)
    assert refused.error["code"] == "batch-running"  # type: ignore[index]
    end(room, "done", "failed", "done")
    # When its batch has ended / Then what that has made is left out
    room.put("more.yaml", manifest)
    assert made_of(room, early)[:2] == (1, 2)


def test_a_row_of_another_batch_is_wrong(room: Room) -> None:
    rows = begin(room)
    ask(room, "cancel", rows[0]["_batch"])
    rows[1]["_batch"] = "job-20200101T000000Z-00000000"
    hand_in(room, rows)
    with pytest.raises(JobError, match="Row 2 is of another batch") as told:
        checked(room)
    assert told.value.code == "rows-wrong"


def test_a_report_is_known_by_what_it_was_made_of(room: Room) -> None:
    # Given a table whose header, and cells, begin as formulas do, some of them with a ' before that
    table = "name,@title\nanna,'=Ms\nben,''-Mr x\ncleo,=Ms\n"
    begun(room, TEMPLATE.replace("title}}", "@title}}"), table=table)
    asyncio.run(carry_on(room))
    early = report_of(room, "talk")
    assert [row["'@title"] for row in early] == ["''=Ms", "'''-Mr x", "'=Ms"]
    end(room, "done", "failed", "done")
    # When an early report of it comes / Then its template finds its columns, and its rows are the same
    assert made_of(room, early)[:2] == (1, 2)


def test_a_report_as_json_lines_is_a_report_too(room: Room) -> None:
    # Given an early report, whose last two rows a program writes as JSON Lines
    early = begin(room)[1:]
    end(room, "done", "failed", "done")
    room.put("rest.jsonl", "".join(json.dumps({**row, "_row": int(row["_row"])}) + "\n" for row in early))
    (_,) = [job for _ in range(6) for job in room.look(SETTLE_S)]
    # Then the row that is not done is made, with its number
    job = checked(room)
    asyncio.run(carry_on(room))
    assert (
        room.status("rest")["stages"]["check"] | {"rows": 1, "done_rows": 1} == room.status("rest")["stages"]["check"]
    )
    end(room, "done")
    assert [(row["_row"], row["_state"]) for row in report_of(room, job.name)] == [("2", "done"), ("3", "done")]
    # And one without numbers is refused
    for row in early:
        del row["_row"]
    room.put("lost.jsonl", "".join(json.dumps(row) + "\n" for row in early))
    (_,) = [job for _ in range(6) for job in room.look(SETTLE_S)]
    with pytest.raises(JobError, match="its rows have no numbers") as told:
        checked(room)
    assert told.value.code == "report-incomplete"


@pytest.mark.parametrize("with_manifest", [False, True])
def test_an_early_report_is_known_while_a_later_batch_is_kept(
    room: Room, with_manifest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (f"job-20260101T00000{second}Z-ffffff00" for second in range(9))
    monkeypatch.setattr(admission, "new_job_id", lambda: next(ids))
    # Given the report of a batch that is not kept any more, and a batch that was made of it
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    rows = report_of(room, "talk")
    hand_in(room, rows)
    checked(room)
    asyncio.run(carry_on(room))
    place = room.spool.find_job(first)
    assert place is not None
    fs.remove(place)
    # When it comes again while that runs / Then it is refused; afterwards, what that has made is left out
    manifest = f"kind: batch\nrows: talk.report.csv\ntemplate: {TEMPLATE}\ndedupe: false\n"
    if with_manifest:
        room.put("more.yaml", manifest)
    (refused,) = hand_in(room, rows)
    assert refused.error["code"] == "batch-running"  # type: ignore[index]
    end(room, "done", "failed")
    if with_manifest:
        room.put("more.yaml", manifest)
    assert made_of(room, rows)[:2] == (1, 2)


def hand_in_without_batch(room: Room) -> Job:
    """Hand in the report of a batch that is not kept any more, and return the job that is refused."""
    rows = begin(room)
    end(room, "done", "failed", "done")
    place = room.spool.find_job(rows[0]["_batch"])
    assert place is not None
    fs.remove(place)
    (refused,) = hand_in(room, rows)
    return refused


def test_a_report_whose_batch_is_not_known_says_what_is_missing(room: Room) -> None:
    refused = hand_in_without_batch(room)
    assert refused.error["code"] == "report-unknown"  # type: ignore[index]
    while room.service.returner.give_back_next():
        pass
    said = room.status(refused.name)["next"]
    assert "Nothing is to be mended in it. Hand it in with the template" in said


def test_a_report_is_written_again_under_its_name_however_far_down_the_rows_of_its_batch_stand(room: Room) -> None:
    # Given a batch whose first row has a long cell, of whose rows one fails, and the batch of its report
    table = f"name,title,note\nanna,Ms,{'long ' * 20_000}\nben,Mr,\n"
    begun(room, TEMPLATE, table=table)
    asyncio.run(carry_on(room))
    end(room, "done", "failed")
    made_of(room, report_of(room, "talk"))
    # When both reports were written several times, and the last row is done
    end(room, "done")
    # Then each batch has one, which says so
    assert sorted(path.name for path in room.outbox.glob("*.report.csv")) == ["talk-v2.report.csv", "talk.report.csv"]
    assert [row["_state"] for row in report_of(room, "talk")] == ["done", "failed"]
    assert [row["_state"] for row in report_of(room, "talk-v2")] == ["done", "done"]
    assert room.status("talk-v2")["batch"]["report"] == "talk-v2.report.csv"
