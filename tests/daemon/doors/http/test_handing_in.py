"""What the HTTP door accepts lies whole in the inbox, once; what it refuses leaves nothing there."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.config import Settings
from daemon.doors import hand_in
from daemon.doors.http.body import once_each
from daemon.doors.http.jobs import wanted
from daemon.jobs.hand_in_record import HandInRecord, digest_of
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import JOB_ID, new_job_id
from daemon.outbox.outbox import Outbox
from daemon.system.permissions import explain_refusal
from tests.conftest import PORTRAIT, wait_for
from tests.daemon.doors.http.conftest import Door
from tests.support.at_once import at_once
from tests.support.http_door import multipart

SPEECH = {"kind": "speech", "text": "Good morning."}


def test_a_job_is_on_the_disk_when_the_answer_comes_and_can_be_followed_from_there(door: Door) -> None:
    # When a job is handed in while no daemon runs
    answer = door.open.post("/jobs", {**SPEECH, "name": "hello"})
    # Then the answer says where it is, and the inbox holds it
    assert answer.status == 202, answer.body
    job = answer.json["job"]
    assert JOB_ID.fullmatch(job)
    assert answer.headers["location"] == f"./jobs/{job}"
    assert int(answer.headers["retry-after"]) > 0
    assert yaml.safe_load((door.inbox / "hello.yaml").read_text()) == SPEECH
    # And it is found by its id and in the list
    assert door.open.get(f"/jobs/{job}").json["state"] == "waiting"
    assert [one["job"] for one in door.open.get("/jobs").json["jobs"]] == [job]
    assert door.open.get(f"/jobs/{job}/result").code == "not-ready"


@pytest.mark.parametrize("order", [1, -1])
def test_files_come_beside_their_manifest_in_any_order_and_under_harmless_names(door: Door, order: int) -> None:
    # Given a portrait whose name leads out of the folder
    portrait = PORTRAIT.read_bytes()
    parts = [
        ("manifest", None, b"kind: video\ntext: Good morning.\n"),
        ("image", "../../etc/cron.d/My Photo\u00e9.PNG", portrait),
    ][::order]
    # When it is handed in
    assert door.open.post_parts("/jobs", *parts).status == 202
    # Then manifest and picture lie in the inbox, the picture whole, and nothing is left behind
    (manifest,) = door.manifests
    image = yaml.safe_load((door.inbox / manifest).read_text())["image"]
    assert Path(image).name == image
    assert (door.inbox / image).read_bytes() == portrait
    assert door.left_over == []


def test_an_upload_is_used_by_many_jobs_and_only_by_its_owner(door: Door) -> None:
    anna, ben = door.key("anna"), door.key("ben")
    told = anna.send("POST", "/uploads?filename=me.png", PORTRAIT.read_bytes())
    assert told.status == 201, told.body
    for text in ("One.", "Two."):
        assert anna.post("/jobs", {"text": text, "image": told.json["ref"]}).status == 202
    assert len(door.manifests) == 2
    assert ben.post("/jobs", {"text": "Three.", "image": told.json["ref"]}).code == "upload-unknown"
    assert anna.send("DELETE", f"/uploads/{told.json['id']}").status == 204
    assert anna.post("/jobs", {"text": "Four.", "image": told.json["ref"]}).code == "upload-unknown"


def test_the_same_key_is_the_same_job_also_when_all_come_at_once(door: Door) -> None:
    answers = at_once([lambda: door.open.post("/jobs", SPEECH, Idempotency_Key="one")] * 6)
    # Each is answered by the one job, or told to come again
    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.json["job"] for answer in answers if answer.status == 202}) == 1
    assert {answer.code for answer in answers if answer.status == 409} <= {"key-busy"}
    again = door.open.post("/jobs", SPEECH, Idempotency_Key='"one"')
    assert (again.status, again.headers["idempotency-replayed"]) == (202, "true")
    assert len(door.manifests) == 1
    # And another body is refused
    other = door.open.post("/jobs", {**SPEECH, "text": "Other."}, Idempotency_Key="one")
    assert (other.status, other.code) == (422, "key-reused")


def test_a_job_that_was_handed_in_here_is_found_without_a_search_of_all_results(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(Outbox, "name_of", lambda self, job: searched.append(job))
    told = [door.open.post("/jobs", {**SPEECH, "name": name}).json for name in ("mine", "lost")]
    # Given that the daemon has taken both, and that the index does not know them yet
    for path in (*door.inbox.glob("*.yaml"), *door.inbox.glob(".*.handin")):
        path.unlink()
    jobs = [one["job"] for one in told]
    for status, job in zip(told, (jobs[0], new_job_id()), strict=True):
        status |= {"job": job, "state": "queued"}
        (door.settings.paths.outbox / f"{status['name']}.json").write_text(json.dumps(status))
    assert door.open.get(f"/jobs/{jobs[0]}").json["state"] == "queued"
    assert searched == []
    # And what lies under its name of another job is not taken for it
    assert door.open.get(f"/jobs/{jobs[1]}").code == "job-unknown"
    assert searched == [jobs[1]]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b'{"kind": "speech", "text": "Hello."}', 202),
        ({"Content-Type": "application/json"}, b'{"kind": "speech", "text": 7, "fps": "x"}', 422),
        ({"Content-Type": "application/json"}, b'{"kind": "speech", "kind": "video"}', 400),
        ({"Content-Type": "text/plain"}, b"kind: speech", 415),
        ({"Content-Type": "application/json", "Authorization": "Bearer none"}, b"{}", 401),
        ({"Content-Type": "application/json"}, b'{"kind": "speech", "text": "The server is broken."}', 500),
    ],
)
def test_a_plain_post_and_the_route_of_the_description_answer_alike(
    door: Door, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], body: bytes, status: int
) -> None:
    def broken(manifest: Manifest, settings: Settings) -> None:
        if "broken" in str(manifest.text):
            raise RuntimeError("a fault of ours")

    monkeypatch.setattr(wanted, "check_text_length", broken)
    given = {"Authorization": f"Bearer {door.key('anna').key}"} | headers
    answers = [door.open.send("POST", path, body, given) for path in ("/jobs", "/jobs?wait=0")]
    assert [one.status for one in answers] == [status] * 2
    own = {"job", "job_id", "name", "source", "links"}  # of each job
    told = [{key: value for key, value in one.json.items() if key not in own} for one in answers]
    assert told[0] == told[1]
    differ = {"date", "x-request-id", "location", "content-length"}
    sent = [{name: value for name, value in one.headers.items() if name not in differ} for one in answers]
    assert sent[0] == sent[1]


def test_a_client_that_goes_in_the_middle_leaves_nothing(door: Door) -> None:
    body = multipart(("text", None, b"Hello."), ("image", "a.png", PORTRAIT.read_bytes()))
    with socket.create_connection(("127.0.0.1", door.open.port)) as one:
        head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        one.sendall(f"{head}Content-Type: multipart/form-data; boundary=XXbound\r\n\r\n".encode() + body[:200_000])
        wait_for("the upload to begin", lambda: door.left_over)
    wait_for("the upload to be cleared", lambda: not door.left_over)
    assert door.manifests == []


@pytest.mark.parametrize(
    "ending", [".yaml", ".YML", ".csv", ".jsonl", ".cancel", ".tmp", ".yaml.bin", ".json", ".icloud"]
)
def test_no_file_of_a_request_is_taken_for_a_manifest_a_table_or_a_request(door: Door, ending: str) -> None:
    file = b"kind: speech\ntext: I am not yours."
    answer = door.open.post_parts(
        "/jobs", ("kind", None, b"encode"), ("video", f"evil{ending}", file), ("name", None, b"a")
    )
    assert answer.status == 202, answer.body
    told = door.open.send("POST", f"/uploads?filename=evil{ending}", file)
    assert door.open.post("/jobs", {"kind": "encode", "video": told.json["ref"], "name": "b"}).status == 202
    brought = [path.name for path in door.inbox.iterdir() if path.name.startswith("evil")]
    assert brought
    assert all("." not in name for name in brought)
    assert door.manifests == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("path", "value", "status", "code"),
    [
        ("/jobs", {"text": "Hi.", "image": "/etc/passwd"}, 422, "path-refused"),
        ("/jobs", {"text": "Hi.", "image": "other.png"}, 422, "path-refused"),
        ("/jobs", {"text": "Hi.", "avatar_image_path": "x.png"}, 422, "manifest-unknown-key"),
        ("/voice/synthesize", {"text": "Hi.", "voice_profile_id": "vp-1"}, 422, "manifest-unknown-key"),
        ("/voice/synthesize", {"text": "Hi.", "kind": "video"}, 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "txet": "Hi."}, 422, "manifest-unknown-key"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "by": "boss"}, 422, "manifest-unknown-key"),
        ("/jobs", ["no mapping"], 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "text": "\ud800"}, 400, "request-invalid"),
        ("/jobs", {"kind": "speech", "text": "a\0b"}, 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "seed": 10**40}, 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "fps": 10**400}, 422, "manifest-invalid"),
        ("/jobs", {"text": "Hi.", "fps": "9" * 5000}, 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "speed": "9" * 5000}, 422, "manifest-invalid"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "duration": 1e308}, 422, "manifest-invalid"),
        ("/jobs", {"text": "Hi.", "image": "upload:../../x"}, 404, "upload-unknown"),
        ("/jobs", {"kind": "speech", "text": "Hi.", "name": "../x"}, 422, "manifest-invalid"),
    ],
)
def test_what_is_refused_is_a_problem_with_a_code_and_leaves_nothing(
    door: Door, path: str, value: object, status: int, code: str
) -> None:
    answer = door.open.post(path, value)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.json["hint"]
    assert door.manifests == []


@pytest.mark.parametrize(
    ("manifest", "key"),
    [({"size": "128"}, "size"), ({"motion": {"head": 7}}, "motion"), ({"a/b~c": 1}, "a~1b~0c")],
)
def test_a_problem_points_at_the_key_that_is_wrong(door: Door, manifest: dict[str, Any], key: str) -> None:
    problem = door.open.post("/jobs", {"text": "Hello.", **manifest}).json
    assert problem["errors"] == [{"pointer": f"#/{key}", "detail": problem["detail"]}]


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([("image", "a.png", b"%PDF-1.7 " + b"x" * 999), ("text", None, b"Hi.")], 415, "media-type"),
        ([("image", "a.png", b"<svg/>" + b" " * 999), ("text", None, b"Hi.")], 415, "media-type"),
        ([("image", "a.png", b""), ("text", None, b"Hi.")], 422, "file-empty"),
        ([("image", "a.png", b"\x89PNG\r\n\x1a\n" + b"x" * (3 * 2**20)), ("text", None, b"Hi.")], 413, "too-large"),
        ([("nonsense", "a.png", b"x"), ("text", None, b"Hi.")], 400, "request-invalid"),
        ([("text", None, b"Hi."), ("text", None, b"Ho.")], 400, "request-invalid"),
        ([("text", None, b"\xff\xfe")], 400, "request-invalid"),
        ([("manifest", None, b"text: [unfinished")], 422, "yaml-invalid"),
        ([("manifest", None, b"a: 1\n---\nb: 2\n")], 422, "manifest-invalid"),
    ],
)
def test_wrong_parts_are_refused_and_leave_nothing(
    door: Door, parts: list[tuple[str, str | None, bytes]], status: int, code: str
) -> None:
    answer = door.open.post_parts("/jobs", *parts)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert (door.manifests, door.left_over) == ([], [])


def test_a_body_that_is_cut_off_or_of_another_kind_is_refused(door: Door) -> None:
    cut = multipart(("text", None, b"Hi."), end=False)
    kinds = {
        "multipart/form-data; boundary=XXbound": (cut, 400, "request-invalid"),
        "multipart/form-data": (cut, 400, "request-invalid"),
        "text/plain": (json.dumps(SPEECH).encode(), 415, "media-type"),
        "application/json": (b'{"text": "a", "text": "b"}', 400, "request-invalid"),
        "application/yaml": (b"kind: speech\ntext: Hello.\n", 202, ""),
    }
    for kind, (body, status, code) in kinds.items():
        answer = door.open.send("POST", "/jobs", body, {"Content-Type": kind})
        assert (answer.status, answer.status < 400 or answer.code) == (status, code or True), answer.body


def test_more_than_fits_is_refused_before_it_comes_and_more_at_once_are_told_to_come_again(door: Door) -> None:
    # A body that says that it is too large is not read
    with socket.create_connection(("127.0.0.1", door.open.port)) as one:
        head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n"
        one.sendall(f"{head}Content-Type: multipart/form-data; boundary=XXbound\r\n\r\n".encode())
        assert b" 413 " in one.recv(100)
    # And of uploads that are not finished there are at most so many
    waiting = []
    try:
        for number in (1, 2):
            one = socket.create_connection(("127.0.0.1", door.open.port))
            waiting.append(one)
            one.sendall(b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nxx")
            wait_for("the upload to begin", functools.partial(_are_coming_in, door, number))
        refused = door.open.send("POST", "/uploads", b"x")
        assert (refused.status, refused.code) == (503, "too-many-uploads")
        assert int(refused.headers["retry-after"]) > 0
    finally:
        for one in waiting:
            one.close()


def _are_coming_in(door: Door, number: int) -> bool:
    return len(door.left_over) == number


def test_validation_says_what_would_happen_and_keeps_nothing(door: Door) -> None:
    good = door.open.post_parts(
        "/validate", ("text", None, b"Good morning."), ("image", "a.png", PORTRAIT.read_bytes())
    )
    assert good.json["ok"] is True
    assert good.json["expected"]["total_s"] > 0
    wrong = door.open.post("/validate", {"kind": "speech", "txet": "x"})
    assert (wrong.status, wrong.json["ok"], wrong.json["errors"][0]["code"]) == (200, False, "manifest-unknown-key")
    assert (door.manifests, door.left_over) == ([], [])


def test_a_cancel_that_the_daemon_has_not_seen_shows_in_the_status(door: Door) -> None:
    job, other = (door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"] for _ in range(2))
    assert "is cancelled" in door.open.send("DELETE", f"/jobs/{job}").json["next"]
    assert "is cancelled" in door.open.get(f"/jobs/{job}").json["next"]
    assert "is cancelled" not in door.open.get(f"/jobs/{other}").json["next"]


def test_a_key_that_comes_twice_among_many_is_found_without_comparing_each_with_all(door: Door) -> None:
    compared = 0

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, str(other))

        __hash__ = str.__hash__

    names = [*range(2000), 1999]
    with pytest.raises(ValueError, match="the key 'f1999' comes twice"):
        once_each([(Key(f"f{number}"), number) for number in names])
    assert compared < 10 * len(names)
    # And the server says so
    answer = door.open.send("POST", "/jobs", b'{"text": "a", "text": "b"}', {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (400, "request-invalid")
    assert "'text' comes twice" in answer.json["detail"]


def test_a_record_whose_manifest_is_another_jobs_is_nobodys_job(door: Door) -> None:
    # Given a manifest of anna, and a record of ben's for its name, as a door leaves it that died before it found the name taken
    anna, ben = door.key("anna"), door.key("ben")
    job = anna.post("/jobs", {**SPEECH, "name": "mine"}).json["job"]
    record = HandInRecord(new_job_id(), "mine.yaml", digest_of(b"text: Another one.\n"), "ben")
    (door.inbox / record.name).write_bytes(record.to_bytes())
    # Then ben neither sees nor cancels a job by it
    assert ben.get("/jobs").json["jobs"] == []
    assert [ben.send(method, f"/jobs/{record.job}").code for method in ("GET", "DELETE")] == ["job-unknown"] * 2
    assert [one["job"] for one in anna.get("/jobs").json["jobs"]] == [job]


def test_a_name_that_waits_in_the_inbox_is_taken_whatever_the_key(door: Door) -> None:
    first = door.open.post("/jobs", {**SPEECH, "name": "mine"}, Idempotency_Key="one")
    other = {**SPEECH, "text": "Another one.", "name": "mine"}
    refused = door.open.post("/jobs", other, Idempotency_Key="two")
    assert (refused.code, refused.json["errors"][0]["pointer"]) == ("name-taken", "#/name")
    # Also where results of another manifest are to be called so
    results = door.open.post("/jobs", {**SPEECH, "output": "Mine"})
    assert (results.code, results.json["errors"][0]["pointer"]) == ("name-taken", "#/output")
    assert [one["job"] for one in door.open.get("/jobs").json["jobs"]] == [first.json["job"]]
    assert door.open.post("/jobs", {**other, "name": "yours"}, Idempotency_Key="two").status == 202


def test_a_right_that_the_server_lacks_is_the_machines_fault_and_is_told_without_its_folders(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server whose user may not write into the inbox
    refused = PermissionError(errno.EACCES, "", str(door.inbox))

    def refuse(*_: object, **__: object) -> None:
        raise explain_refusal(refused, "write into")

    def refuse_folder(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr(hand_in, "check_right", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse_folder)
    # When somebody hands in by each of its ways
    answers = (
        door.open.post("/jobs", SPEECH),
        door.open.post("/jobs", SPEECH, Idempotency_Key="k1"),
        door.open.post_parts("/jobs", ("image", "anna.png", PORTRAIT.read_bytes()), ("text", None, b"Hello.")),
        door.open.send("POST", "/uploads?filename=anna.png", PORTRAIT.read_bytes()),
    )
    # Then each is told that the request was right, and no place of this machine
    for answer in answers:
        assert (answer.status, answer.code) == (503, "not-allowed"), answer.body
        assert str(door.root) not in answer.body.decode()
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("name", [5, "../hello", "_defaults", ""])
def test_a_name_that_can_be_none_is_pointed_at(door: Door, name: object) -> None:
    answer = door.open.post("/jobs", {**SPEECH, "name": name})
    assert (answer.status, answer.code) == (422, "manifest-invalid")
    assert [one["pointer"] for one in answer.json["errors"]] == ["#/name"]
    assert door.manifests == []


@pytest.mark.parametrize("wrong", [b"[" * 50_000, b'{"a":' * 20_000, b'{"priority": ' + b"9" * 5000 + b"}"])
def test_json_that_is_too_much_for_python_is_refused_without_its_settings(door: Door, wrong: bytes) -> None:
    answer = door.open.send("POST", "/jobs", wrong, {"Content-Type": "application/json"})
    assert answer.code == "request-invalid"
    assert re.search("nested too deeply|too many digits", answer.json["detail"])


def test_a_disk_that_fails_is_told_without_its_folders_and_that_nothing_was_taken(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(door.inbox / "job.yaml"))

    monkeypatch.setattr("daemon.doors.submission.write_readable", fail)
    for answer in (door.open.post("/jobs", SPEECH), door.open.post("/jobs", SPEECH, Idempotency_Key="k1")):
        assert (answer.status, answer.code) == (507, "disk-full")
        assert str(door.root) not in answer.body.decode()
        assert answer.json["hint"].startswith("Send it again later")
