"""The list of jobs is sorted by its columns, over all its pages, and what is marked in it can be saved."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from daemon.doors.http.jobs import Jobs
from daemon.doors.page import job_rows
from daemon.errors import JobError
from daemon.history import store
from daemon.history.database import open_to_write, set_meta
from daemon.history.entry import Entry
from daemon.history.history import History
from daemon.history.places import start_of
from daemon.history.query import STATES, Query
from daemon.history.sorted_rows import ORDERS
from daemon.jobs.record import Job
from daemon.queue.pauses import Pause, Pauses
from daemon.queue.spool import Spool
from tests.daemon.doors.http.conftest import Door
from tests.daemon.doors.page.test_pages import signed_in
from tests.support.http_door import Answer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def job_id(number: int) -> str:
    return f"job-20260102T030405Z-{number:08x}"


def job(number: int, name: str, state: Any, *, priority: int = 0, ended: float | None = None, by: str = "anna") -> Job:
    made = Job(
        id=job_id(number), name=name, source=f"{name}.yaml", by=by, state=state, stages=("tts",), priority=priority,
        accepted=1000.0 + number, finished=ended, manifest={"kind": "speech", "text": f"Hello {name}."},
    )  # fmt: skip
    if state == "failed":
        made.set_error(JobError("text-empty", "=There is nothing to speak."), "tts")
    return made


def keep(door: Door, jobs: Sequence[Job]) -> None:
    """Have the index know these jobs alone."""
    folder = door.settings.paths.history
    folder.mkdir(parents=True, exist_ok=True)
    connection = open_to_write(folder)
    store.apply(connection, [(one.id, Entry.of_job(one)) for one in jobs])
    set_meta(connection, "complete", 1)
    connection.close()


JOBS = [
    job(1, "berta", "done", ended=1500), job(2, "Anna", "failed", ended=1900), job(3, "carl", "queued"),
    job(4, "dora", "running"), job(5, "Emil", "done", ended=1700), job(6, "anna", "queued", priority=5),
    job(7, "ben", "cancelled", ended=1600, by="ben"), job(8, "zoë", "queued", priority=5),
]  # fmt: skip
RANK = {state: rank for rank, state in enumerate(STATES)}
#: What the orders mean, said once more: name → key of a job; equal ones follow each other with the newest first.
MEANT = {
    "name": lambda one: one.name.lower(),
    "state": lambda one: RANK[one.state],
    "time": lambda one: one.finished or 1e9,
}


@pytest.mark.parametrize("order", ["name", "-name", "state", "-state", "time", "-time"])
@pytest.mark.parametrize("query", [Query(), Query(search="an"), Query(state=("done", "failed"), by=["anna"])])
def test_jobs_come_in_the_order_that_was_asked_for_page_by_page(door: Door, order: str, query: Query) -> None:
    keep(door, JOBS)
    history = History(door.settings.paths.history)
    asked = {row.job for row in history.find(query)}
    newest = [one for one in reversed(JOBS) if one.id in asked]
    expected = [one.id for one in sorted(newest, key=MEANT[order.lstrip("-")], reverse=order.startswith("-"))]
    found = [row.job for skip in range(0, 9, 2) for row in history.find_sorted(query, order, limit=2, skip=skip)]
    assert found == expected


def test_those_that_wait_are_listed_by_their_turns_over_all_pages(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(door, JOBS)
    monkeypatch.setattr(job_rows, "ROWS", 2)
    for name in ("new-1", "new-2", "new-3"):
        door.open.post("/jobs", {"kind": "speech", "text": "Hello.", "name": name})
    pages, place = [], "jobs?tab=waiting"
    while place:
        page = door.open.get(f"/ui/{place}").body.decode()
        pages.append(names_in(page))
        more = re.search(r'href="\./(jobs\?tab=waiting&amp;after=\d+)">More jobs', page)
        place = more[1].replace("&amp;", "&") if more else ""
    # Then those come last that the daemon, which is down, has not seen
    names = [name for page in pages for name in page]
    assert (names[:3], sorted(names[3:])) == (["anna", "zoë", "carl"], ["new-1", "new-2", "new-3"])
    assert [len(page) for page in pages] == [2, 2, 2]


def names_in(page: str) -> list[str]:
    return re.findall(r'data-name="([^"]*)"', page)


def test_the_head_of_a_column_sorts_by_it_turns_round_and_says_how_it_is_sorted(door: Door) -> None:
    keep(door, JOBS)
    page = door.open.get("/ui/jobs?q=a").body.decode()
    assert "aria-sort" not in page

    def follow(page: str, column: str) -> str:
        link = re.search(rf'id="sort-{column}" href="\./([^"]*)"', page)
        assert link is not None
        return door.open.get(f"/ui/{link[1].replace('&amp;', '&')}").body.decode()

    page = follow(page, "name")
    assert names_in(page) == sorted(names_in(page), key=str.lower)
    assert page.count("aria-sort") == page.count('aria-sort="ascending"') == 1
    page = follow(page, "name")
    assert names_in(page) == sorted(names_in(page), key=str.lower, reverse=True)
    assert page.count("aria-sort") == page.count('aria-sort="descending"') == 1
    # The search stays, and so does the order when a job of the list is changed
    assert 'name="q" value="a"' in page
    after = str(start_of(1_800_000_000_000))  # a cursor of this decade
    body = urlencode({"one": "cancel:x", "tab": "all", "q": "a", "sort": "-name", "after": after}).encode()
    led = door.open.send("POST", "/ui/jobs/do", body, FORM).headers["location"]
    assert led.startswith(f"../jobs?tab=all&q=a&sort=-name&after={after}&said=")
    # And an order that there is none of is refused in words
    assert door.open.get("/ui/jobs?sort=size").status == 422
    assert set(ORDERS) >= {"name", "-name", "state", "-state", "time", "-time"}


def save(door: Door, what: str, *jobs: str, **headers: str) -> Answer:
    body = urlencode([("op", what), *(("job", one) for one in jobs)]).encode()
    return door.open.send("POST", "/ui/jobs/do", body, {**FORM, **headers})


def test_the_results_of_marked_jobs_are_saved_as_one_file_that_says_what_it_lacks(door: Door) -> None:
    keep(door, JOBS)
    outbox = door.settings.paths.outbox
    for number, name in ((1, "berta"), (5, "Emil")):
        (outbox / f"{name}.wav").write_bytes(name.encode())
        output = {"file": f"{name}.wav", "bytes": len(name), "sha256": ""}
        status = {"schema": 1, "job": job_id(number), "name": name, "state": "done", "by": "anna", "outputs": [output]}
        (outbox / f"{name}.json").write_text(json.dumps(status))
    anna, ben = door.key("anna"), door.key("ben")
    answer = save(door, "zip", *(job_id(number) for number in (1, 2, 5, 7)), **signed_in(door, anna.key))
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''jobs.zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    missing = content.pop("MISSING.txt")
    assert content == {"berta.wav": "berta", "Emil.wav": "Emil"}
    # Another one's job is none, and one that failed has no results
    assert f"There is no job {job_id(7)}." in missing
    assert f"Anna ({job_id(2)}): it has no results; it is failed." in missing
    other = save(door, "zip", job_id(1), **signed_in(door, ben.key))
    with zipfile.ZipFile(io.BytesIO(other.body)) as archive:
        assert archive.namelist() == ["MISSING.txt"]


def test_a_table_of_marked_jobs_opens_in_a_spreadsheet_and_runs_nothing_there(door: Door) -> None:
    keep(door, JOBS)
    answer = save(door, "csv", job_id(2), job_id(8))
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [(row["name"], row["state"], row["by"]) for row in rows] == [
        ("Anna", "failed", "anna"),
        ("zoë", "queued", "anna"),
    ]
    assert rows[0]["error"] == "'=There is nothing to speak."
    assert answer.headers["content-security-policy"].endswith("sandbox")
    # A job that is gone meanwhile, or another one's, says so and keeps no other from being told
    anna, others = signed_in(door, door.key("anna").key), job_id(7)
    answer = save(door, "csv", others, job_id(2), **anna)
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [(row["job"], row["name"], row["code"]) for row in rows] == [
        (others, "", "job-unknown"),
        (job_id(2), "Anna", rows[1]["code"]),
    ]
    # Nothing that is marked is nothing that is saved
    assert "No%20job%20is%20marked" in save(door, "csv", **anna).headers["location"]


def test_a_row_says_what_its_job_waits_for_and_offers_what_leads_on(door: Door) -> None:
    waits = {"job": job_id(1), "name": "a", "state": "waiting", "accepted": "x", "waiting_for": ["a.png", "b.png"]}
    assert job_rows.row_of(waits).why == "It waits for: a.png; b.png"
    # The form for a new job can make this again, and no avatar, which would have the same name
    for kind, again in (("video", True), ("batch", True), ("avatar", False), ("voice", False)):
        assert job_rows.row_of({"job": job_id(2), "name": "b", "state": "done", "kind": kind}).again is again


def test_a_time_that_a_pause_makes_wrong_is_not_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "may_run", lambda _: True)
    outbox = door.settings.paths.outbox
    keep(door, [JOBS[2]])
    status = {"schema": 1, "job": job_id(3), "name": "carl", "state": "queued", "by": "anna", "eta_s": 90.0}
    (outbox / "carl.json").write_text(json.dumps(status))
    spool = Spool(door.settings.paths.spool)
    spool.create()
    assert "about 90 s left" in door.open.get("/ui/jobs").body.decode()
    Pauses(spool.root / "paused.json").begin("lanes", Pause("anna", "", time.time()))
    for place in ("jobs", f"jobs/{job_id(3)}"):
        page = door.open.get(f"/ui/{place}").body.decode()
        assert "Work on jobs was paused by anna just now." in page
        assert "left" not in page
    # And whose end somebody wanted is called no fault
    status |= {"state": "cancelled", "error": {"code": "cancelled", "message": "anna cancelled it.", "fault": "job"}}
    (outbox / "carl.json").write_text(json.dumps(status))
    page = door.open.get(f"/ui/jobs/{job_id(3)}").body.decode()
    assert "anna cancelled it." in page
    assert "has to be changed" not in page
