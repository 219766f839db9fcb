"""What `POST /validate` calls good, `POST /jobs` takes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import PORTRAIT
from tests.daemon.doors.http.conftest import Door

SPEECH = {"kind": "speech", "text": "Good morning."}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"name": "../hello"}, "manifest-invalid"),
        ({"name": 5}, "manifest-invalid"),
        ({"name": "a\0"}, "manifest-invalid"),
        ({"name": "taken"}, "name-taken"),
        ({"name": "made"}, "name-taken"),
        ({"output": "made"}, "name-taken"),
        ({"name": "other", "output": "MADE"}, "name-taken"),
        ({"name": "free"}, ""),
        ({"output": "free"}, ""),
        ({"name": None}, ""),
    ],
)
def test_a_name_is_checked_as_for_a_job(door: Door, asked: dict[str, Any], code: str) -> None:
    # Given a name that waits in the inbox, and one that has a result
    assert door.open.post("/jobs", {**SPEECH, "name": "taken"}).status == 202
    (door.settings.paths.outbox / "made.mp4").write_bytes(b"video")
    # When a job that asks for a name is checked, then the answer is that of handing it in
    checked = door.open.post("/validate", {**SPEECH, **asked})
    handed_in = door.open.post("/jobs", {**SPEECH, **asked})
    assert checked.status == 200
    assert [one["code"] for one in checked.json["errors"]] == ([code] if code else [])
    assert (handed_in.status == 202, "" if handed_in.status == 202 else handed_in.code) == (not code, code)


@pytest.mark.parametrize(("extended", "kept"), [("utf-8''K%C3%A4se.png", "K-se-"), ("UTF-8'de'..%2F..%2Fx.yaml", "x-")])
def test_a_file_whose_name_comes_in_its_extended_form_alone_is_a_file(door: Door, extended: str, kept: str) -> None:
    head = f"--XXbound\r\nContent-Disposition: form-data; name=image; filename*={extended}\r\n\r\n".encode()
    text = b'\r\n--XXbound\r\nContent-Disposition: form-data; name="text"\r\n\r\nHello.\r\n--XXbound--\r\n'
    told = {"Content-Type": "multipart/form-data; boundary=XXbound"}
    answer = door.open.send("POST", "/validate", head + PORTRAIT.read_bytes() + text, told)
    assert answer.json["ok"], answer.body
    assert answer.json["manifest"]["image"].startswith(kept)


@pytest.mark.parametrize("path", ["/validate", "/jobs"])
def test_a_job_whose_manifest_would_be_too_large_for_the_daemon_is_refused(door: Door, path: str) -> None:
    quotes = "'" * (door.settings.intake.max_manifest_bytes * 2 // 3)  # each is two in YAML
    answer = door.open.post(path, {"kind": "speech", "text": "Hi.", "metadata": {"a": quotes}})
    told = answer.json["errors"][0]["code"] if path == "/validate" else answer.code
    assert (answer.status, told) == (200 if path == "/validate" else 422, "manifest-too-large"), answer.body
    assert door.manifests == []


def test_what_is_missing_is_to_be_sent_since_nothing_lies_beside_a_request(door: Door) -> None:
    refused = door.open.post("/jobs", {"text": "Hi."})
    assert refused.json["detail"].startswith(
        "`image` is missing: send a picture file as the part `image` (or an avatar"
    )
    refused = door.open.post("/jobs", {"kind": "voice"})
    assert "send a recording of one person speaking as the part `audio`" in refused.json["detail"]


def test_a_job_is_asked_for_by_its_id_and_whoever_gives_its_name_is_told(door: Door) -> None:
    door.open.post("/jobs", {**SPEECH, "name": "hello"})
    refused = door.open.get("/jobs/hello")
    assert (refused.status, refused.code) == (404, "job-unknown")
    assert "by its `job_id`" in refused.json["hint"]
