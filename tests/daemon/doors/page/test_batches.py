"""The page of a batch tells what its report tells, and gives out what the rows made and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from typing import Any

import pytest

from daemon.doors.http.batches.report_rows import FAILED, BatchCounts, actions_of, counts_of, rows_of, words_of
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.page.saved.batch_zip import files_of_batch
from daemon.doors.page.saved.zip_stream import MISSING, zip_of
from tests.daemon.doors.http.conftest import Door
from tests.daemon.doors.page.test_pages import post_form, signed_in

TOP = "name;course;_row;_state;_job;_file;_seconds;_code;_error;_sha256;_batch"
BATCH = "job-20260102T030405Z-000000ff"


def job_id(row: int) -> str:
    return f"job-20260102T030405Z-{row:08x}"


def status(job: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "schema": 1, "job": job, "name": name, "state": "done", "stage": "deliver", "progress": 1, "eta_s": None,
        "queue_position": None, "source": f"{name}.yaml", "document": 0, "by": "anna",
        "accepted": "2026-01-02T03:04:05.000Z", "updated": "2026-01-02T03:04:09.000Z",
        "finished": "2026-01-02T03:04:09.000Z", "next": "Nothing: the result is ready.", "kind": "video", **more,
    }  # fmt: skip


class Welcome:
    """A batch in an outbox: row 1 and 2 are done, 3 got what 1 made, 4 failed, 5 waits."""

    def __init__(self, door: Door) -> None:
        self.outbox = door.settings.paths.outbox
        self.jobs = Jobs(door.settings)
        (self.outbox / "welcome").mkdir()
        counts = {
            "rows": 5,
            "taken": 5,
            "done": 3,
            "failed": 1,
            "cancelled": 0,
            "left": 1,
            "report": "welcome.report.csv",
        }
        self.put(status(BATCH, "welcome", kind="batch", batch=counts, state="running", finished=None, stage=None))
        sums = {row: self.result(row, f"video {row}".encode()) for row in (1, 2)}
        lines = [
            TOP,
            f"Anna;Physics;1;done;{job_id(1)};welcome/1.mp4;2.5;;;{sums[1]};{BATCH}",
            f'Ben;"Maths; advanced";2;done;{job_id(2)};welcome/2.mp4;3;;;{sums[2]};{BATCH}',
            f"Anna;Physics;3;done;{job_id(1)};welcome/3.mp4;;;;{sums[1]};{BATCH}",
            f"<b>Carl;Art;4;failed;{job_id(4)};;1;no-face;There is no face.;;{BATCH}",
            f"Dora;Art;5;waiting;{job_id(5)};;;;;;{BATCH}",
        ]
        self.report("\n".join(lines) + "\n")

    def put(self, value: dict[str, Any]) -> None:
        (self.outbox / f"{value['name']}.json").write_text(json.dumps(value))

    def report(self, text: str) -> None:
        (self.outbox / "welcome.report.csv").write_text(text, "utf-8-sig")

    def result(self, row: int, content: bytes) -> str:
        (self.outbox / f"welcome/{row}.mp4").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        output = {"file": f"welcome/{row}.mp4", "bytes": len(content), "sha256": digest}
        self.put(status(job_id(row), f"welcome/{row}", outputs=[output]))
        return digest

    def status(self) -> dict[str, Any]:
        return self.jobs.status(BATCH, Caller())

    def zip(self, caller: Caller | None = None) -> dict[str, bytes]:
        data = b"".join(zip_of(files_of_batch(self.jobs, caller or Caller(), self.status())))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
            return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def welcome(door: Door) -> Welcome:
    return Welcome(door)


def test_the_rows_are_those_of_the_report_and_those_that_failed_can_be_seen_alone(welcome: Welcome) -> None:
    status = welcome.status()
    rows, more = rows_of(welcome.outbox, status, after=0)
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert (rows[1].title, rows[1].words, rows[1].seconds) == ("Ben · Maths; advanced", "Done", 3.0)
    assert more is None
    failed, _ = rows_of(welcome.outbox, status, states=FAILED, after=0)
    assert [(row.number, row.code) for row in failed] == [(4, "no-face")]
    # And a page of them begins where the one before ended
    first, more = rows_of(welcome.outbox, status, after=0, limit=3)
    assert more is not None
    rest, end = rows_of(welcome.outbox, status, after=more, limit=3)
    assert [row.number for row in first + rest] == [1, 2, 3, 4, 5]
    assert end is None
    assert counts_of(status).words == "3 of 5 rows are done, 1 failed, 1 left."
    assert counts_of(status).percent == 80


@pytest.mark.parametrize("counts", [None, [], {"rows": -1, "done": "x"}, {"rows": True}])
def test_counts_that_somebody_spoilt_are_none(counts: Any) -> None:
    assert counts_of({"batch": counts}).rows in (0, True)
    assert BatchCounts(0, 0, 0, 0, 0).percent == 0


def test_a_batch_of_which_little_is_known_has_a_page(door: Door, welcome: Welcome) -> None:
    known = {"kind": "batch", "state": "failed", "by": None}
    welcome.put(status(BATCH, "welcome", **known, error={"code": "rows-wrong", "message": "Row <3> is wrong."}))
    page = door.open.get(f"/ui/batches/{BATCH}").body.decode()
    assert "No job was made of its rows." in page
    assert "Row &lt;3&gt; is wrong." in page
    assert words_of({"state": "queued"}) == "Its rows are not checked yet."


def test_what_can_be_done_with_a_batch_is_what_its_state_allows(welcome: Welcome) -> None:
    counts = welcome.status()["batch"]
    assert list(actions_of(welcome.status())) == ["hold", "cancel"]
    assert actions_of({"state": "done", "batch": {**counts, "failed": 2, "left": 0}}) == {
        "retry": "Run 2 failed rows again"
    }
    assert actions_of({"state": "done", "batch": {**counts, "failed": 0, "done": 5, "left": 0}}) == {}


def test_the_zip_has_what_each_row_made_and_the_report_and_names_what_is_gone(welcome: Welcome) -> None:
    files = welcome.zip()
    assert sorted(files) == ["1.mp4", "2.mp4", "3.mp4", "welcome.report.csv"]
    assert files["3.mp4"] == files["1.mp4"] == b"video 1"
    (welcome.outbox / "welcome/2.mp4").unlink()
    files = welcome.zip()
    assert sorted(files) == ["1.mp4", "3.mp4", MISSING, "welcome.report.csv"]
    assert b"row 2" in files[MISSING]


def test_the_zip_gives_out_nothing_that_the_rows_did_not_make_whatever_the_report_says(welcome: Welcome) -> None:
    (welcome.outbox / "secret.mp4").write_bytes(b"of ben!")
    welcome.put(status(job_id(9), "secret", by="ben", outputs=[{"file": "secret.mp4", "bytes": 7, "sha256": "0" * 64}]))
    welcome.report(
        f"{TOP}\nx;y;1;done;{job_id(1)};secret.mp4;;;;;{BATCH}\nx;y;2;done;{job_id(1)};../../etc/passwd;;;;;{BATCH}\n"
        f"x;y;3;done;{job_id(9)};secret.mp4;;;;;{BATCH}\n"
    )
    files = welcome.zip(Caller("anna", "submit"))
    assert sorted(files) == [MISSING, "welcome.report.csv"]


def test_the_page_of_a_batch_is_its_owners_and_shows_what_is_in_a_cell_as_text(door: Door, welcome: Welcome) -> None:
    anna, ben = signed_in(door, door.key("anna").key), signed_in(door, door.key("ben").key)
    page = door.open.get(f"/ui/batches/{BATCH}", **anna).body.decode()
    assert "3 of 5 rows are done" in page
    assert "&lt;b&gt;Carl" in page
    assert "<b>Carl" not in page
    for path in ("", "/zip", "/report", "/live"):
        assert door.open.get(f"/ui/batches/{BATCH}{path}", **ben).status == 404
    # And what is saved is never shown as a page
    for path in ("/zip", "/report"):
        answer = door.open.get(f"/ui/batches/{BATCH}{path}", **anna)
        assert answer.status == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    # And to cancel the rest asks first
    asked = post_form(door.open, f"/ui/batches/{BATCH}/do", {"op": "cancel"}, **anna)
    assert asked.status == 200
    assert "Rows that are done stay as they are." in asked.body.decode()
    # And a job that is no batch has no such page
    assert door.open.get(f"/ui/batches/{job_id(1)}", **anna).status == 404


def test_a_list_without_a_batch_leads_to_the_form_that_makes_one(door: Door) -> None:
    for key, linked in ((door.key("anna"), True), (door.key("reader", "read"), False)):
        page = door.open.get("/ui/batches", **signed_in(door, key.key)).body.decode()
        (told,) = re.findall('<p class="box">(There is no batch.*?)</p>', page)
        assert ('<a href="./">New</a>' in told, "<a" in told) == (linked, linked)
