"""Answers of the door tell nothing of the server's folders, and blame the one who is at fault."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
import yaml
from pydantic import TypeAdapter

from daemon.doors.http.answers import Since
from daemon.history.entry import Entry
from daemon.history.history import History
from daemon.history.query import Query, Row
from daemon.jobs.hand_in_record import record_name
from daemon.jobs.record import new_job_id
from daemon.outbox.status_file import status_of
from daemon.system.permissions import user_name
from tests.conftest import PORTRAIT
from tests.daemon.doors.http.conftest import Door
from tests.support.daemon.history_folders import make_job

SPEECH = {"kind": "speech", "text": "Good morning."}


def test_an_index_that_is_damaged_is_the_machines_fault_and_is_told_without_its_folder(door: Door) -> None:
    job = door.open.post("/jobs", SPEECH).json["job"]
    door.settings.paths.history.mkdir(parents=True)
    (door.settings.paths.history / "jobs.db").write_bytes(b"This is no index. " * 100)
    for page in ("/jobs", "/jobs/stats"):
        refused = door.open.get(page)
        assert (refused.status, refused.code, refused.json["fault"]) == (503, "history-unavailable", "machine")
        assert str(door.root) not in refused.body.decode()
    assert door.open.get(f"/jobs/{job}").status == 200


@pytest.mark.parametrize(("name", "key"), [("anna.PNG", "image"), ("anna.mp4", "video"), ("anna.wav", "video")])
def test_what_is_in_an_upload_is_asked_by_the_key_that_takes_such_a_file(door: Door, name: str, key: str) -> None:
    sent = door.open.send("POST", f"/uploads?filename={name}", PORTRAIT.read_bytes(), {"Content-Type": "image/png"})
    made = door.open.get(f"/video/info?upload={sent.json['id']}")
    assert made.status == 202
    (manifest,) = (yaml.safe_load((door.inbox / one).read_text()) for one in door.manifests)
    assert set(manifest) == {"kind", key}


def test_what_lies_in_the_place_of_a_key_is_told_by_its_name_in_the_inbox(door: Door) -> None:
    door.open.post("/jobs", SPEECH, Idempotency_Key="one")
    (key,) = (door.inbox / ".keys").iterdir()
    key.unlink()
    key.mkdir()
    refused = door.open.post("/jobs", SPEECH, Idempotency_Key="one")
    assert (refused.status, refused.code) == (409, "key-blocked")
    assert f".keys/{key.name}" in refused.json["detail"]
    assert str(door.root) not in refused.body.decode()
    # And what lies in the place of their folder is told to whoever runs the server
    key.rmdir()
    (door.inbox / ".keys").rmdir()
    (door.inbox / ".keys").write_text("not a folder")
    for wanted, given in ((SPEECH, {"Idempotency_Key": "one"}), (SPEECH | {"name": "hello"}, {})):
        refused = door.open.post("/jobs", wanted, **given)
        assert (refused.status, refused.code) == (503, "not-allowed"), refused.body


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_change_that_is_sent_as_another_type_is_told_which_to_send(door: Door, kind: str) -> None:
    job = door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"]
    answer = door.open.send("PATCH", f"/jobs/{job}", b'{"held": true}', {"Content-Type": kind})
    assert (answer.status, answer.code) == (415, "media-type")
    assert kind in answer.json["detail"]
    assert "application/json" in answer.json["hint"]


@pytest.mark.parametrize("change", [{"held": True}, {"held": False}, {"priority": 5}, None])
@pytest.mark.parametrize("has_run", [True, False])
def test_what_a_daemon_that_is_down_would_not_obey_is_refused(
    door: Door, change: dict[str, object] | None, has_run: bool
) -> None:
    if not has_run:
        door.settings.paths.spool.rmdir()
    job = door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"]
    if change is None:
        answer = door.open.post(f"/jobs/{job}/retry")
    else:
        told = {"Content-Type": "application/json"}
        answer = door.open.send("PATCH", f"/jobs/{job}", json.dumps(change).encode(), told)
    assert (answer.status, answer.code) == (409, "job-waiting")
    # Only a cancel waits for it
    assert door.open.send("DELETE", f"/jobs/{job}").status == 202


@pytest.mark.parametrize(
    ("since", "seconds"),
    [
        ("2000-01-31T09:30:00.500Z", 949311000.5),
        ("2000-01-31T09:30:00+02:00", 949303800),  # in a query a `+` is a space
        ("2000-01-31", 949276800),
        ("1960-01-31", 0),
        ("949276800", 949276800),
    ],
)
def test_since_is_a_time_as_answers_tell_it_or_in_seconds(door: Door, since: str, seconds: float) -> None:
    assert door.open.get(f"/jobs?since={since}").json["jobs"] == []
    assert TypeAdapter(Since).validate_python(since.replace("+", " ")) == seconds


def test_a_disk_that_tells_no_size_is_not_told_as_full(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert door.open.get("/status").json["disk"]["inbox"]["free_bytes"] > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 0))
    assert door.open.get("/status").json["disk"] == {"inbox": {"free_bytes": None}, "outbox": {"free_bytes": None}}


def test_the_description_names_every_error_and_its_pages_come_from_here(door: Door) -> None:
    described = json.loads(door.open.get("/openapi.json").body)
    assert described["openapi"].startswith("3.1")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            always = {"400", "401", "403", "422", "431", "503"} | (
                {"507"} if method != "get" and path[1:8] != "uploads" else set()
            )
            assert always - ({"422"} if path.startswith("/v1/") else set()) <= operation["responses"].keys(), (
                method,
                path,
            )
            assert operation["summary"]
            # What is no error is described as none: programs that are made of this would read an empty body as a problem
            assert not any("content" in operation["responses"].get(status, {}) for status in ("206", "304"))
            for status in operation["responses"].keys() & {"200", "201", "202"}:
                kinds = operation["responses"][status]["content"]
                assert kinds.get("application/json", {"schema": 1}).get("schema") or "/result" in path, (method, path)
    schemas = described["components"]["schemas"]
    assert "default" not in json.dumps(schemas["Change"])
    named = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(described)))
    assert named == {f"#/components/schemas/{name}" for name in schemas}
    for page in ("/docs", "/redoc"):
        html = door.open.get(page)
        assert html.status == 200
        assert b"http" not in html.body.replace(b"<!doctype html>", b"").replace(b"the HTTP API", b"")
        assert "script-src 'self'" in html.headers["content-security-policy"]
        for part in html.body.split(b'"'):
            if part.startswith(b"docs-assets/"):
                assert len(door.open.get(f"/{part.decode()}").body) > 50


def _names(door: Door, query: str = "") -> list[str]:
    return [job["name"] for job in door.open.get(f"/jobs?{query}").json["jobs"]]


def test_jobs_that_no_daemon_has_seen_are_listed_by_what_is_known_of_them(door: Door) -> None:
    for name in ("anna-1", "anna-2", "bert"):
        assert door.open.post("/jobs", SPEECH | {"name": name}).status == 202
    assert sorted(_names(door)) == ["anna-1", "anna-2", "bert"]
    assert sorted(_names(door, "q=ANNA")) == ["anna-1", "anna-2"]
    assert _names(door, "q=bert.yaml&state=waiting") == ["bert"]
    assert sorted(_names(door, f"by={user_name(os.geteuid())}")) == ["anna-1", "anna-2", "bert"]
    assert sorted(_names(door, "kind=speech&q=anna")) == ["anna-1", "anna-2"]
    assert _names(door, "by=nobody-else") == _names(door, "kind=video") == _names(door, "state=done") == []


@pytest.mark.parametrize("limit", [1, 3, 4, 6])
def test_a_list_has_each_job_once_and_no_more_on_a_page_than_were_asked_for(
    door: Door, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen = [door.open.post("/jobs", SPEECH).json["job"] for _ in range(3)]
    rows = [Row.of_entry(Entry(new_job_id(), "hello", "done", accepted=1_800_000_000_000 + n)) for n in (3, 2, 1)]

    def find(self: History, query: Query, limit: int, after: int | None) -> list[Row]:
        return [row for row in rows if after is None or row.cursor < after][:limit]

    monkeypatch.setattr(History, "find", find)
    found: list[list[str]] = []
    after: int | None = None
    while not found or after is not None:
        page = door.open.get(f"/jobs?limit={limit}" + ("" if after is None else f"&after={after}")).json
        found.append([job["job"] for job in page["jobs"]])
        after = page["next"]
    assert {len(page) for page in found[:-1]} <= {limit}
    assert len(found[-1]) <= limit
    listed = [job for page in found for job in page]
    assert (set(listed[:3]), listed[3:]) == (set(unseen), [row.job for row in rows])


def test_a_page_begins_behind_the_one_before_also_where_the_daemon_takes_newer_jobs(door: Door) -> None:
    jobs = {door.open.post("/jobs", SPEECH).json["job"] for _ in range(4)}
    first = door.open.get("/jobs?limit=2").json
    shown = {job["job"] for job in first["jobs"]}
    for job in shown:
        (door.inbox / record_name(job)).unlink()
    rest = door.open.get(f"/jobs?limit=2&after={first['next']}").json
    assert ({job["job"] for job in rest["jobs"]}, rest["next"]) == (jobs - shown, None)


@pytest.mark.parametrize(
    "value", ["NaN", "1e999", '"\\ud800"', '{"a": [{"b": NaN}]}', "[" * 600 + "]" * 600, "[" * 960 + "NaN" + "]" * 960]
)
def test_what_json_cannot_hold_in_a_status_that_somebody_wrote_is_no_error_of_the_server(
    door: Door, value: str
) -> None:
    job = make_job(1)
    status = json.dumps({**status_of(job), "metadata": {"a": "@"}, "by": "@"}).replace('"@"', value)
    (door.settings.paths.outbox / f"{job.name}.json").write_text(status)
    assert door.open.get(f"/jobs/{job.id}").json["job"] == job.id
    data = re.findall(r"^data: (.*)$", door.open.get(f"/jobs/{job.id}/events").body.decode(), re.MULTILINE)
    assert json.loads(data[0], parse_constant=pytest.fail)["job"] == job.id
