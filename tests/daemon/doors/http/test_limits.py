"""What a key may take holds whatever the clock did, and ends with the key."""

from __future__ import annotations

import errno
import http.client
import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from daemon.doors.http import events, jobs
from daemon.doors.http import limits as ledger_of
from daemon.doors.http.api_keys import ApiKeys, Limits
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import FOLDER, own_folder
from daemon.doors.http.jobs.unseen_records import UnseenRecords
from daemon.doors.http.kept_uploads import LITTER_S, KeptUploads, clear_litter
from daemon.doors.http.limits import AHEAD_S, Amount, UploadLedger, check_amounts, job_ledger
from daemon.doors.http.problems import RequestError
from daemon.doors.page.sessions import LASTS_S, Sessions
from daemon.errors import MachineError, RefusedError, UnavailableError
from daemon.history.entry import Entry
from daemon.history.query import Row
from daemon.jobs.hand_in_record import HandInRecord
from daemon.jobs.record import new_job_id
from tests.conftest import PATIENCE_S, PORTRAIT, wait_for
from tests.daemon.doors.http.conftest import Door
from tests.support.http_door import multipart

SPEECH = {"kind": "speech", "text": "Good morning."}
YEAR_S = 365 * 86_400.0


def test_what_was_noted_by_a_clock_that_was_ahead_is_not_counted(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = door.key("anna", jobs_per_minute=1)
    now = time.time()
    # Given a machine that starts with a clock that is a year ahead, on which a key hands in what it may
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now + YEAR_S)
        assert anna.post("/jobs", SPEECH).status == 202
        assert anna.post("/jobs", SPEECH).code == "limit-reached"
    # When the clock is set right, then the key may hand in as before, and no more
    assert anna.post("/jobs", SPEECH).status == 202
    assert anna.post("/jobs", SPEECH).code == "limit-reached"


def test_a_key_whose_waiting_jobs_are_counted_is_answered_from_the_last_minutes_and_not_from_all_jobs_of_its_day(
    tmp_path: Path,
) -> None:
    caller = Caller("anna", "submit", "k", Limits(waiting_jobs=3))
    now = time.time()
    asked: list[float | None] = []

    def rows(since: float | None, states: Sequence[str]) -> list[Row]:
        asked.append(since)
        return []

    with job_ledger(tmp_path, caller) as ledger:
        assert ledger is not None
        ledger.entries = [
            ledger_of.Entry(now - 7200, "old", 1.0),
            ledger_of.Entry(now - 7200, "batch", 1.0, 2, "b.yaml"),
        ]
        ledger.add("new", Amount())
    with job_ledger(tmp_path, caller) as ledger:
        assert ledger is not None
        assert [one.job for one in ledger.entries] == ["batch", "new"]
        ledger.remove(ledger.entries[0])
        check_amounts(caller.limits, "anna", Amount(), ledger, rows, set)
    assert min(since for since in asked if since is not None) > now - 3600


@pytest.mark.parametrize(("ahead_s", "is_counted"), [(YEAR_S, False), (AHEAD_S / 2, True), (0.0, True)])
def test_speech_that_was_taken_in_by_a_clock_that_was_ahead_is_not_that_of_today(
    tmp_path: Path, ahead_s: float, is_counted: bool
) -> None:
    accepted = round((time.time() + ahead_s) * 1000)
    row = Row.of_entry(Entry(new_job_id(), "hello", "done", by="anna", accepted=accepted, audio_s=60.0))
    caller = Caller("anna", "submit", "k", Limits(speech_s_per_day=60))
    with job_ledger(tmp_path, caller) as ledger, pytest.raises(RequestError) if is_counted else nullcontext():
        assert ledger is not None
        check_amounts(caller.limits, "anna", Amount(1, 3.0), ledger, lambda *_: [row], set)


def test_what_waits_is_read_once_and_only_for_a_key_that_may_have_so_many_waiting_jobs(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = door.key("anna", waiting_jobs=2), door.key("ben", jobs_per_minute=100)
    told = [anna.post("/jobs", SPEECH).json for _ in range(2)]
    assert len(anna.get("/jobs").json["jobs"]) == 2
    # Given thousands of jobs that wait, of which each would take its time to be read again
    with monkeypatch.context() as slow:
        slow.setattr(HandInRecord, "from_bytes", None)
        assert anna.post("/jobs", SPEECH).code == "limit-reached"
        slow.setattr(UnseenRecords, "all", None)
        assert ben.post("/jobs", SPEECH).status == 202
    # When the name of one is another's meanwhile, it is read again
    (door.inbox / told[0]["source"]).write_text("text: Another one.")
    assert told[0]["job"] not in [one["job"] for one in anna.get("/jobs").json["jobs"]]


def test_a_job_that_a_full_disk_leaves_no_room_to_count_is_told_and_those_before_stay_counted(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = door.key("anna", jobs_per_minute=2)
    assert anna.post("/jobs", SPEECH).status == 202

    def is_full(fd: int, *args: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    with monkeypatch.context() as full:
        for name in ("posix_fallocate", "pwrite"):
            full.setattr(os, name, is_full)
        assert anna.post("/jobs", SPEECH).status == 202
    assert len(door.manifests) == 2
    assert [anna.post("/jobs", SPEECH).status for _ in range(2)] == [202, 429]


def test_bytes_that_were_counted_by_a_clock_that_was_ahead_are_not_those_of_today(tmp_path: Path) -> None:
    now = 1e9 + YEAR_S
    ledger = UploadLedger(tmp_path, lambda: now)
    caller = Caller("anna", "submit", "k", Limits(upload_bytes_per_day=100))
    ledger.add(caller, 100)
    now = 1e9
    ledger.add(caller, 100)


def test_a_session_that_was_noted_by_a_clock_that_was_ahead_lasts_no_longer(tmp_path: Path) -> None:
    now = 1e9 + 86_400
    sessions = Sessions(tmp_path, lambda: now)
    used, unused = sessions.begin("k"), sessions.begin("k")
    # When the clock is set right, a session goes on,
    now = 1e9
    assert sessions.key_of(used) == "k"
    # and lasts from its use on
    now = 1e9 + LASTS_S + 60
    assert (sessions.key_of(used), sessions.key_of(unused)) == (None, "k")
    # One that seems to begin later than any ends is none
    now = 1e9 - LASTS_S - 86_400
    assert sessions.key_of(unused) is None


@pytest.mark.parametrize("is_there", [True, False])
def test_nobody_else_can_write_where_sessions_lie(
    tmp_path: Path, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server that lets the group of the inbox write new files, and maybe a folder of an earlier one
    before = os.umask(0)
    try:
        if is_there:
            (tmp_path / FOLDER).mkdir(0o770)
        sessions = Sessions(tmp_path, time.time)
        token = sessions.begin("k")
    finally:
        os.umask(before)
    assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0
    assert sessions.key_of(token) == "k"
    # And a folder that somebody else made holds no session
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert sessions.key_of(token) is None
    with pytest.raises(PermissionError):
        sessions.begin("k")


def test_nothing_is_written_or_removed_behind_a_link_in_the_place_of_uploads(door: Door) -> None:
    home = door.root / "home"
    (home / "work").mkdir(parents=True)
    (door.inbox / FOLDER).symlink_to(home)
    clear_litter(door.inbox, time.time() + LITTER_S + 60)
    answer = door.open.send("POST", "/uploads?filename=a.png", PORTRAIT.read_bytes())
    assert (answer.status, answer.code, str(door.root) in answer.body.decode()) == (503, "not-allowed", False)
    assert [path.name for path in home.iterdir()] == ["work"]


@pytest.mark.parametrize(("ahead_s", "stays"), [(-LITTER_S - 60, False), (0.0, True), (LITTER_S + 60, False)])
def test_litter_goes_also_where_its_time_is_ahead(tmp_path: Path, ahead_s: float, stays: bool) -> None:
    folder, now = tmp_path / FOLDER / "new-1", time.time()
    folder.mkdir(parents=True)
    os.utime(folder, (now + ahead_s,) * 2)
    clear_litter(tmp_path, now)
    assert folder.exists() == stays


def test_an_upload_that_still_comes_is_no_litter_whatever_the_clock_says(tmp_path: Path) -> None:
    with own_folder(tmp_path) as folder:
        (folder / "0").mkdir()
        clear_litter(tmp_path, time.time() + 2 * LITTER_S)
        assert (folder / "0").exists()
    # That of a server which was killed has no lock any more
    folder.mkdir()
    clear_litter(tmp_path, time.time() + 2 * LITTER_S)
    assert not folder.exists()


def _keep_one(inbox: Path, uploads: KeptUploads, caller: Caller) -> str:
    with own_folder(inbox) as folder:
        (folder / "0").mkdir()
        path = folder / "0" / "a.wav"
        path.write_bytes(b"RIFF")
        return str(uploads.keep(path, "0" * 64, caller)["id"])


def test_an_upload_is_kept_for_a_day_however_the_clock_is_set_meanwhile(tmp_path: Path) -> None:
    now, uptime, anna = 1e9, 5000.0, Caller("anna", "submit")
    uploads = KeptUploads(tmp_path, lambda: now, lambda: uptime)
    kept = _keep_one(tmp_path, uploads, anna)
    # The host's clock is two days ahead,
    now += 2 * LITTER_S
    clear_litter(tmp_path, now, uptime + 60)
    assert uploads.find(kept, anna).read_bytes() == b"RIFF"
    # and is set back when the day is over
    now, uptime = 1e9, uptime + LITTER_S + 60
    with pytest.raises(RequestError):
        uploads.find(kept, anna)
    clear_litter(tmp_path, now, uptime)
    assert not (tmp_path / FOLDER / kept).exists()


def test_an_upload_of_before_a_new_start_of_the_machine_is_kept_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, anna = KeptUploads(tmp_path, lambda: 1e9, lambda: 5000.0), Caller("anna", "submit")
    kept = _keep_one(tmp_path, uploads, anna)
    monkeypatch.setattr("daemon.doors.http.kept_uploads.boot_id", lambda: "another")
    for later, is_kept in ((LITTER_S - 60, True), (LITTER_S + 60, False)):
        clear_litter(tmp_path, 1e9 + later, 10.0)
        assert (tmp_path / FOLDER / kept).exists() == is_kept


@pytest.mark.parametrize(
    "record", ["[]", '{"boot": 1}', "[" * 100_000, "", None], ids=["list", "few", "deep", "empty", "pipe"]
)
def test_what_is_no_record_of_an_upload_keeps_no_other_litter(tmp_path: Path, record: str | None) -> None:
    # Given a folder in which somebody put something in place of its record, and litter beside it
    odd, litter = (tmp_path / FOLDER / f"up-{sign * 16}" for sign in "01")
    for folder in (odd, litter):
        folder.mkdir(parents=True)
    if record is None:
        os.mkfifo(odd / "upload.json")
    else:
        (odd / "upload.json").write_text(record)
    # When litter is removed / Then both go after their day, and the first is no upload
    with pytest.raises(RequestError):
        KeptUploads(tmp_path).find(odd.name, Caller("anna", "submit"))
    clear_litter(tmp_path, time.time() + LITTER_S + 60)
    assert not odd.exists()
    assert not litter.exists()


@pytest.mark.parametrize(
    ("error", "is_counted"),
    [
        (RefusedError("job-not-failed", "hello is done."), False),
        (PermissionError("the spool may not be written"), False),
        (UnavailableError("answer-late", "The daemon has not answered yet."), True),
    ],
)
def test_a_retry_that_is_refused_is_no_job_of_the_minute(
    door: Door, monkeypatch: pytest.MonkeyPatch, error: Exception, is_counted: bool
) -> None:
    anna, job = door.key("anna", jobs_per_minute=1), new_job_id()
    status = {"schema": 1, "job": job, "name": "hello", "state": "done", "source": "hello.yaml", "by": "anna"}
    (door.settings.paths.outbox / "hello.json").write_text(json.dumps(status))

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(jobs, "ask", refuse)
    assert anna.post(f"/jobs/{job}/retry").status in (403, 409, 503)
    assert anna.post("/jobs", SPEECH).status == (429 if is_counted else 202)
    assert anna.post("/jobs", SPEECH).code == "limit-reached"


def test_events_end_when_the_key_is_revoked(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.05)
    anna = door.key("anna")
    job = anna.post("/jobs", SPEECH).json["job"]
    connection = http.client.HTTPConnection("127.0.0.1", door.open.port, timeout=PATIENCE_S)
    connection.request("GET", f"/jobs/{job}/events", headers={"Authorization": f"Bearer {anna.key}"})
    answer = connection.getresponse()
    while answer.readline().strip() != b"event: status":
        pass
    ApiKeys(door.settings.server.keys).revoke("anna")
    rest = answer.read()  # it ends
    connection.close()
    assert b"event: error" in rest
    assert b"key-refused" in rest


@pytest.mark.parametrize("why", ["revoked", "unmounted"])
def test_a_wait_for_a_job_that_may_not_or_cannot_be_looked_at_ends_with_what_was_told_without(
    door: Door, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    anna = door.key("anna")
    door.key("ben")

    def look(self: jobs.Jobs, job: str, caller: Caller) -> dict[str, object]:
        if why == "unmounted":
            raise MachineError("outbox-missing", "The outbox is not mounted.")
        ApiKeys(door.settings.server.keys).revoke("anna")
        monkeypatch.setattr(jobs.Jobs, "status", lambda *_: waiting | {"state": "done"})
        return waiting

    waiting: dict[str, object] = {"job": new_job_id(), "name": "a", "state": "waiting"}
    monkeypatch.setattr(jobs.Jobs, "status", look)
    answer = anna.post("/jobs", SPEECH, Prefer="wait=60")
    assert (answer.status, answer.json["state"]) == (202, "waiting")
    assert answer.headers["location"] == f"./jobs/{answer.json['job']}"


@pytest.mark.parametrize("path", ["/uploads?filename=a.png", "/jobs"])
def test_a_key_that_is_revoked_while_a_body_comes_hands_in_nothing(door: Door, path: str) -> None:
    anna = door.key("anna")
    door.key("ben")
    body = PORTRAIT.read_bytes()
    told = {"Authorization": f"Bearer {anna.key}"}
    if path == "/jobs":
        body = multipart(("image", "a.png", body), ("text", None, b"Hello."))
        told["Content-Type"] = "multipart/form-data; boundary=XXbound"
    connection = http.client.HTTPConnection("127.0.0.1", door.open.port, timeout=PATIENCE_S)
    connection.putrequest("POST", path)
    for name, value in {**told, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body[:1000])
    wait_for("the upload", lambda: len(door.left_over) == 1)
    ApiKeys(door.settings.server.keys).revoke("anna")
    connection.send(body[1000:])
    answer = connection.getresponse()
    assert (answer.status, b"key-refused" in answer.read()) == (401, True)
    connection.close()
    assert door.manifests == []
    assert [one.name for one in (door.inbox / FOLDER).glob("up-*")] == []
