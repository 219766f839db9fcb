"""A batch: all rows are checked, each becomes one job, the report says what became of it, and one request acts on all."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daemon.doors.hand_in import hand_in
from daemon.intake.batches.dropped_tables import ALONE_S
from daemon.jobs.hand_in_record import HandInRecord, digest_of
from daemon.jobs.record import new_job_id
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.intake import Room

#: A voice engine that never gets ready.
DEAF = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A daemon that waits for missing files for a moment only."""
    one = Installation(tmp_path_factory.mktemp("batches"), intake={"companion_wait_s": 1.0})
    one.start()
    yield one
    one.stop()


#: Cheap jobs: what is in a picture.
TEMPLATE = 'template: {kind: info, image: "{{picture}}", output: "{{name}}"}\n'


def table(*rows: str, header: str = "name,picture") -> bytes:
    return "\n".join((header, *rows)).encode()


def report(house: Installation, name: str, kind: str = "report") -> list[dict[str, str]]:
    text = (house.outbox / f"{name}.{kind}.csv").read_text("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def states(house: Installation, name: str) -> list[str]:
    return [row["_state"] for row in report(house, name)]


def drop(house: Installation, name: str, rows: bytes, manifest: str = TEMPLATE, **files: Any) -> None:
    house.drop(f"{name}.yaml", f"kind: batch\nrows: {name}.csv\n{manifest}", **{f"{name}__csv": rows}, **files)


def test_each_row_becomes_a_job_and_the_report_says_where_its_result_is(shared: Installation) -> None:
    # Given a table with two rows that ask for the same
    rows = table("one,p.png", "two,p.png", "three,q.png")
    drop(shared, "all", rows, p__png=PORTRAIT, q__png=PORTRAIT)
    # When it has ended
    status = shared.finished("all")
    # Then the results lie in a folder of its name, also that of the row for which nothing was done again
    assert (status["state"], status["batch"]["done"]) == ("done", 3)
    assert sorted(path.name for path in (shared.outbox / "all").glob("*.info.json")) == [
        "one.info.json", "three.info.json", "two.info.json",
    ]  # fmt: skip
    found = report(shared, "all")
    assert [(row["name"], row["_state"], row["_file"]) for row in found] == [
        (name, "done", f"all/{name}.info.json") for name in ("one", "two", "three")
    ]
    assert len({row["_job"] for row in found}) == 2
    # And each job knows its batch and its row
    assert shared.status("all/three")["row"] == {"batch": "all", "number": 3}  # type: ignore[index]
    assert not (shared.outbox / "all.csv.txt").exists()
    listed = shared.avatar("batch", "list").stdout
    assert "all\tdone\t3 of 3 rows done" in listed


def test_nothing_is_made_of_a_table_with_a_wrong_row_unless_that_is_asked_for(shared: Installation) -> None:
    rows = table("one,p.png", "two,gone.png", "one,p.png", ",", "x,p.png,y")
    # Given a wait for files that is over
    drop(shared, "wrong", rows, p__png=PORTRAIT)
    drop(shared, "partial", rows, f"accept_partial: true\n{TEMPLATE}")
    # When the rows are checked
    status = shared.finished("wrong")
    # Then the batch fails, and a table names each wrong row, its column and what to do
    assert (status["state"], status["error"]["code"]) == ("failed", "rows-wrong")
    wait_for("the table of errors", lambda: (shared.outbox / "wrong.errors.csv").exists())
    found = report(shared, "wrong", "errors")
    assert [(row["row"], row["column"], row["code"]) for row in found] == [
        ("2", "picture", "file-missing"), ("3", "name", "row-name-taken"), ("4", "", "row-invalid"),
    ]  # fmt: skip
    assert all(row["message"] and row["hint"] for row in found)
    assert not (shared.outbox / "wrong").exists()
    # Whoever asks how far it is reads the same
    shown = shared.avatar("batch", "show", "wrong").stdout
    assert "wrong: failed, no job was made of its rows" in shown
    assert "wrong.errors.csv" in shown
    # But with `accept_partial` the right rows are made
    assert shared.finished("partial")["batch"]["rows"] == 1
    assert states(shared, "partial") == ["done", "wrong", "wrong", "wrong"]
    assert any("partial.errors.csv" in warning for warning in shared.finished("partial")["warnings"])
    # And the table that the warning names lies there, too
    assert [(row["row"], row["code"]) for row in report(shared, "partial", "errors")] == [
        (row["row"], row["code"]) for row in found
    ]
    # And whoever asks is told of the wrong rows, too
    shown = shared.avatar("batch", "show", "partial").stdout
    assert "partial: done, 1 of 1 row done, 3 wrong (no job was made of them)" in shown
    refused = shared.avatar("batch", "retry-failed", "partial", code=1).stderr
    assert "others are wrong" in refused
    assert "partial.errors.csv" in refused
    outputs = [one["file"] for one in shared.finished("partial")["outputs"]]
    assert outputs == ["partial.errors.csv", "partial.report.csv"]


def test_a_batch_that_failed_is_not_told_the_rows_of_the_next_one_of_its_name(shared: Installation) -> None:
    drop(shared, "twice", table("a,p.png"), "template: {kind: info}\n", p__png=PORTRAIT)
    failed = shared.finished("twice")
    drop(shared, "twice", table("a,p.png"))
    wait_for("the next one", lambda: shared.finished("twice")["state"] == "done")
    rows = [row for row in json.loads(shared.avatar("batch", "list", "--json").stdout) if row["name"] == "twice"]
    assert [(row["state"], row["rows"]) for row in rows] == [("failed", None), ("done", 1)]
    told = shared.avatar("batch", "show", failed["job"], code=1).stderr
    assert "no batch of which the outbox has a status" in told


def test_failed_rows_stop_no_others_and_are_tried_again_by_one_request(shared: Installation) -> None:
    # Given a row whose picture is none
    drop(shared, "again", table("good,p.png", "bad,again.png"), p__png=PORTRAIT, again__png=b"no picture")
    status = shared.finished("again")
    assert (status["state"], status["batch"]["failed"]) == ("done", 1)
    assert "1 row of 2 failed" in status["warnings"][0]
    assert states(shared, "again") == ["done", "failed"]
    assert report(shared, "again")[1]["_code"] == "image-unreadable"
    assert "row 2\tfailed\timage-unreadable" in shared.avatar("batch", "show", "again").stdout
    # When its failed rows are started again, which changes nothing of their files
    shared.avatar("batch", "retry-failed", "again")
    wait_for("the batch to end again", lambda: shared.finished("again")["finished"] != status["finished"])
    # Then the row that was done is left alone, and the batch ends as before
    assert shared.finished("again")["batch"]["failed"] == 1
    assert states(shared, "again") == ["done", "failed"]
    ended = [(job["name"], job["state"]) for job in shared.events("job finished") if job["name"].startswith("again/")]
    assert sorted(ended) == [("again/bad", "failed"), ("again/bad", "failed"), ("again/good", "done")]
    # And the list of batches does not say that no job was made where somebody has taken its status away
    (shared.outbox / "again.json").unlink()
    assert "again\tdone\tits status has gone from the outbox\n" in shared.avatar("batch", "list").stdout


def test_a_report_that_is_mended_and_dropped_again_makes_the_rest(shared: Installation) -> None:
    drop(shared, "mend", table("good,p.png", "bad,mend.png"), p__png=PORTRAIT, mend__png=b"no picture")
    shared.finished("mend")
    # When the wrong cell is mended in the report, and that is put into the inbox
    text = (shared.outbox / "mend.report.csv").read_text("utf-8-sig").replace("bad,mend.png", "bad,p.png")
    shared.drop("mend.report.csv", text.encode("utf-8-sig"))
    # Then only that row is made, its result takes the place that was meant for it, and the report has both
    assert shared.finished("mend-v2")["batch"]["rows"] == 1
    assert [(row["_state"], row["_file"]) for row in report(shared, "mend-v2")] == [
        ("done", "mend/good.info.json"), ("done", "mend/bad.info.json"),
    ]  # fmt: skip


def test_a_table_whose_columns_are_keys_is_a_batch_of_its_own(shared: Installation) -> None:
    shared.drop("alone.csv", table("info,p.png,first", header="kind,image,output"), p__png=PORTRAIT)
    assert shared.finished("alone")["batch"]["done"] == 1
    assert (shared.outbox / "alone" / "first.info.json").exists()


def test_a_table_that_a_manifest_was_taken_with_is_no_batch_of_its_own(room: Room) -> None:
    def later(room: Room) -> list[str]:
        """Look until everything has settled and no table waits for a manifest any more."""
        return [job.name for _ in range(3) for job in room.look(2 * ALONE_S)]

    room.put("named.yaml", "kind: batch\nrows: named.csv\ntemplate: {kind: speech}\n")
    room.put("named.csv", "text\nHello.\n")
    assert later(room) == ["named"]
    # Neither after a restart, nor from a door
    again = Room(room.inbox.parent)
    brought = room.inbox.parent / "brought.csv"
    brought.write_text("text\nHello, too.\n")
    hand_in({"kind": "batch"}, {"rows": brought}, "", "", paths=again.settings.paths, name="door")
    assert later(again) == ["door"]
    # But one that was written anew is
    again.put("named.csv", "text\nGood evening.\n")
    assert later(again) == ["named-v2"]


def test_a_table_is_taken_when_its_spreadsheet_program_has_written_it_and_lock_files_are_passed_over(
    room: Room,
) -> None:
    # Given a table that is open in LibreOffice, and a workbook in Excel, each with a lock file beside it
    for lock in (".~lock.people.csv#", "~$people.xlsx", "~$people.csv"):
        room.put(lock, b",anna,desk,30.11.2026 07:00,file:///home/anna/.config/libreoffice/4;")
    written = "text\nHello.\n"
    with room.put("people.csv", written).open("a") as file:
        # When the program goes on writing / Then the table is no batch while it does
        for row in range(3):
            file.write(f"Row {row}.\n")
            file.flush()
            assert room.look(2 * ALONE_S) == []
    # But when it is closed, with all its rows; and nothing is made or told of the lock files
    jobs = [job for _ in range(3) for job in room.look(2 * ALONE_S)]
    assert [job.name for job in jobs] == ["people"]
    assert room.copy_of(jobs[0], "source.rows").decode() == f"{written}Row 0.\nRow 1.\nRow 2.\n"
    room.admission.strays.answer()
    assert [path.name for path in room.outbox.glob("*.txt")] == []


def test_a_table_whose_door_died_before_its_manifest_is_no_batch_of_its_own(room: Room) -> None:
    record = HandInRecord(new_job_id(), "rows.yaml", digest_of(b""), files={"brought.csv": 11})
    (room.inbox / record.name).write_bytes(record.to_bytes())
    for name in ("brought.csv", "other.csv"):
        room.put(name, "text\nHello.\n")
    assert [job.name for _ in range(3) for job in room.look(2 * ALONE_S)] == ["other"]


def test_a_table_that_is_wrong_is_given_back_as_it_was(shared: Installation) -> None:
    rows = table("info,gone-for-ever.png", header="kind,image")
    shared.drop("lone.csv", rows)
    assert shared.finished("lone")["error"]["code"] == "rows-wrong"
    assert wait_for("the table", lambda: (shared.outbox / "lone.csv").exists())
    assert (shared.outbox / "lone.csv").read_bytes() == rows


def test_rows_that_fail_too_often_stop_the_rest(shared: Installation) -> None:
    rows = table(*(f"r{number},stop{number}.png" for number in range(60)))
    files = {f"stop{number}__png": f"no picture {number}".encode() for number in range(60)}
    drop(shared, "stop", rows, f"on_error: stop after 2\n{TEMPLATE}", **files)
    status = shared.finished("stop")
    assert (status["state"], status["error"]["code"]) == ("failed", "batch-stopped")
    # Each of the two slots may run one row then, and write down the end of another one
    assert 2 <= status["batch"]["failed"] <= 2 + 2 * 2 - 1
    assert status["batch"]["failed"] + status["batch"]["cancelled"] == 60


def _all_but_one_held(house: Installation) -> bool:
    held = len(house.jobs("held"))
    return held >= 4 and held + len(house.jobs("tts/active")) == 5


def test_one_request_holds_releases_and_cancels_all_rows(installation: Callable[..., Installation]) -> None:
    # Given a batch whose rows wait for a voice that never speaks
    house = installation(engines={"deaf": {"command": DEAF, "voices": {"wall": "en"}, "start_s": 10**4}})
    house.start()
    rows = table(*(f"t{number}" for number in range(5)), header="text")
    drop(house, "talk", rows, "template: {kind: speech, voice: wall, text: '{{text}}'}\n")
    wait_for("a row to speak", lambda: house.jobs("tts/active"))
    # When it is held
    assert "talk is held" in house.avatar("jobs", "hold", "talk", "--reason", "the text changes").stdout
    # Then so are its rows, but the one that runs, if one does: the first goes back when its voice has another lane
    wait_for("the other rows to be held", lambda: _all_but_one_held(house))
    status = house.status("talk")
    assert status is not None
    assert (status["state"], status["held"]["reason"]) == ("running", "the text changes")
    assert "talk goes on" in house.avatar("jobs", "release", "talk").stdout
    assert house.jobs("held") == []
    # Where one row is held, a retry says that the batch waits for it, and the batch's release is that row's, too
    row = max(house.jobs("tts/ready"))  # the last, which does not begin meanwhile
    house.avatar("jobs", "hold", row)
    refused = house.avatar("batch", "retry-failed", "talk", code=None)
    assert "1 of those that have not ended is held" in refused.stderr
    assert "talk.release into the inbox" in refused.stderr
    assert "with 1 of its rows" in house.avatar("jobs", "release", "talk").stdout
    assert house.jobs("held") == []
    # And when it is cancelled by a file, for those without a shell, every row ends
    house.drop("talk.cancel", b"")
    status = house.finished("talk")
    assert (status["state"], status["batch"]["cancelled"]) == ("cancelled", 5)
    assert states(house, "talk") == ["cancelled"] * 5


@pytest.mark.parametrize("by", ["command", "file"])
def test_requests_for_a_batch_that_are_made_while_the_daemon_is_down_reach_all_rows(
    installation: Callable[..., Installation], by: str
) -> None:
    # Given a batch whose rows wait for a voice that never speaks, and a daemon that dies before each request
    house = installation(engines={"deaf": {"command": DEAF, "voices": {"wall": "en"}, "start_s": 10**4}})
    house.start()
    rows = table(*(f"t{number}" for number in range(5)), header="text")
    drop(house, "talk", rows, "template: {kind: speech, voice: wall, text: '{{text}}'}\n")
    wait_for("the rows to wait", lambda: len(house.jobs("tts/ready")) == 4)

    def while_down(op: str) -> None:
        house.kill()
        if by == "file":
            house.drop(f"talk.{op}", b"")
        else:
            house.avatar("jobs", op, "talk")
        house.start()

    # When it is held, released and cancelled, then its rows are, and it stays a batch
    while_down("hold")
    wait_for("the rows to be held", lambda: len(house.jobs("held")) == 5)
    assert (house.reaches("talk", "held")["held"] or {})["by"]
    while_down("release")
    wait_for("the rows to be released", lambda: len(house.jobs("tts/ready")) == 4)
    wait_for("the batch to go on", lambda: not house.reaches("talk", "running").get("held"))
    while_down("cancel")
    status = house.finished("talk")
    assert (status["state"], status["batch"]["cancelled"], status["batch"]["left"]) == ("cancelled", 5, 0)


def test_a_killed_daemon_makes_each_row_once(installation: Callable[..., Installation]) -> None:
    # Given a batch
    house = installation()
    house.start()
    rows = table(*(f"k{number},k{number}.png" for number in range(40)))
    files: dict[str, Any] = {f"k{number}__png": os.urandom(16) for number in range(40)}
    drop(house, "kill", rows, **files)
    house.reaches("kill", "running")
    # When the daemon is killed in the middle of it, twice
    for _ in range(2):
        house.kill()
        house.start()
    # Then each row has one job, and the report all of them
    assert house.finished("kill")["batch"]["failed"] == 40
    found = report(house, "kill")
    assert len({row["_job"] for row in found}) == 40
    wait_for("the jobs to rest", lambda: len(house.all_jobs()) == 41)  # the last one is moved as its status is written


def test_the_rows_of_a_table_are_checked_before_it_is_handed_in(shared: Installation) -> None:
    folder = shared.root / "desk"
    folder.mkdir()
    (folder / "t.yaml").write_text(f"kind: batch\nrows: t.csv\n{TEMPLATE}")
    (folder / "t.csv").write_bytes(table("one,p.png", "two,gone.png"))
    (folder / "p.png").write_bytes(PORTRAIT.read_bytes())
    said = shared.avatar("validate", str(folder / "t.yaml"), code=1).stdout
    assert "1 of 2 rows is wrong" in said
    assert "Row 2 names gone.png" in said
    (folder / "t.csv").write_bytes(table("one,p.png"))
    assert "t.yaml: good" in shared.avatar("validate", str(folder / "t.yaml")).stdout
