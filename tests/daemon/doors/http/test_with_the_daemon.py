"""What is handed in by HTTP is made by the daemon as what is dropped is, and its results come back as they are."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.app import create_app
from tests.conftest import Installation, wait_for
from tests.support.http_door import PATIENCE_S, Caller, serving
from tests.support.machine.nginx import PLACE, behind_nginx, nginx

TEXT = "Good morning, all of you."
SPEECH = {"kind": "speech", "text": TEXT, "seed": 7}


@dataclass
class House:
    """A running daemon, and a door in front of it: anna's, and without a key."""

    one: Installation
    anna: Caller
    ben: Caller


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = Installation(tmp_path_factory.mktemp("http"), server={"user": str(os.geteuid())})
    one.start()
    settings = Settings.load(one.config)
    keys = ApiKeys(settings.server.keys)
    with serving(create_app(settings)) as client:
        yield House(one, *(client.with_key(keys.add(name, "submit")[1]) for name in ("anna", "ben")))
    one.stop()


def test_a_job_by_http_is_the_senders_and_gives_what_the_same_dropped_manifest_gives(house: House) -> None:
    # When the same is handed in by HTTP, and dropped
    answer = house.anna.post("/voice/synthesize", SPEECH, Prefer="wait=60")
    house.one.drop("dropped.yaml", json.dumps(SPEECH))
    # Then the job is done when the answer comes, and is anna's
    assert (answer.status, answer.json["state"], answer.json["by"]) == (200, "done", "anna"), answer.body
    assert answer.headers["preference-applied"] == "wait=60"
    # And the result is whole, in ranges too, with its digest as ETag
    path = f"/jobs/{answer.json['job']}/result"
    output = answer.json["outputs"][-1]
    whole = house.anna.get(path)
    assert hashlib.sha256(whole.body).hexdigest() == output["sha256"]
    assert (whole.headers["etag"], whole.headers["content-type"]) == (f'"{output["sha256"]}"', "audio/wav")
    part = house.anna.get(path, Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole.body[100:300])
    assert house.anna.get(path, If_None_Match=whole.headers["etag"]).status == 304
    assert house.anna.get(f"{path}/{os.path.basename(answer.json['outputs'][0]['file'])}").status == 200
    assert house.anna.get(f"{path}/nothing.mp4").code == "file-unknown"
    assert house.ben.get(path).code == "job-unknown"
    # And it is what the dropped manifest gives
    assert house.one.finished("dropped")["outputs"][-1]["sha256"] == output["sha256"]
    # And what somebody put in its place is not given out
    wav = house.one.outbox / output["file"]
    wav.unlink()
    wav.symlink_to("/etc/passwd")
    assert house.anna.get(path).code == "cleared"


def test_a_job_is_followed_from_its_state_now_to_its_end(house: House) -> None:
    job = house.anna.post("/jobs", {"kind": "speech", "text": "Follow me."}).json["job"]
    connection = http.client.HTTPConnection("127.0.0.1", house.anna.port, timeout=600)
    try:
        connection.request("GET", f"/jobs/{job}/events", headers={"Authorization": f"Bearer {house.anna.key}"})
        answer = connection.getresponse()
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in answer.read().decode().split("\n\n") if "event: " in block]
    finally:
        connection.close()
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    states = [json.loads(event["data"])["state"] for event in events if event["event"] == "status"]
    assert states[-1] == "done"
    assert events[-1]["event"] == "end"
    assert all(event["id"] for event in events)


def test_a_job_is_held_moved_released_cancelled_and_started_again(house: House) -> None:
    house.one.avatar("pause", "--reason", "test")
    try:
        job = house.anna.post("/jobs", {"kind": "speech", "text": "Wait for me."}).json["job"]
        path = f"/jobs/{job}"

        def reaches(state: str) -> dict[str, object]:
            def look() -> dict[str, object] | None:
                status: dict[str, object] = house.anna.get(path).json
                return status if status["state"] == state else None

            return wait_for(f"the job to be {state}", look)

        reaches("queued")
        etag = house.anna.get(path).headers["etag"]
        assert house.anna.get(path, If_None_Match=etag).status == 304

        def change(**data: object) -> int:
            body = json.dumps(data).encode()
            return house.anna.send("PATCH", path, body, {"Content-Type": "application/json"}).status

        assert change(priority=5) == 202
        assert change(held=True, reason="The text changes.") == 202
        held = reaches("held")["held"]
        assert isinstance(held, dict)
        assert (held["by"], held["reason"]) == ("anna", "The text changes.")
        assert change(held=False) == 202
        assert house.ben.send("DELETE", path).code == "job-unknown"
        assert house.anna.send("DELETE", path).status == 202
        reaches("cancelled")
        assert house.anna.send("DELETE", path).code == "job-finished"
        assert house.anna.get(f"{path}/result").code == "cleared"
        assert house.anna.post(f"{path}/retry").status == 202
    finally:
        house.one.avatar("resume")
    reaches("done")
    changed = house.anna.post(f"{path}/rerun?wait=60", {"text": "Wait for us."})
    assert (changed.status, changed.json["base"]) == (200, job)
    # And one that changes nothing needs no body
    assert house.anna.send("POST", f"{path}/rerun").status == 202


@pytest.mark.skipif(nginx() is None, reason="nginx is not installed and could not be fetched (Debian: nginx)")
def test_behind_a_proxy_at_a_path_of_its_own_events_flow_and_links_lead_to_results(
    house: House, tmp_path: Path
) -> None:
    house.one.avatar("pause")
    try:
        with behind_nginx(tmp_path / "nginx", house.anna.port, house.anna.key) as client:
            # When a job that may not run yet is handed in through it, and followed
            told = client.post(f"{PLACE}/jobs", {"kind": "speech", "text": "Behind a proxy."})
            assert told.status == 202, told.body
            job = urljoin(f"{PLACE}/jobs", told.headers["location"])
            connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=PATIENCE_S)
            connection.request("GET", f"{job}/events", headers={"Authorization": f"Bearer {client.key}"})
            stream = connection.getresponse()
            # Then its state now comes at once, while the stream goes on
            lines = iter(stream.readline, b"")
            assert b"event: status\n" in lines
            # And its end when it comes
            house.one.avatar("resume")
            assert b"event: end\n" in lines
            connection.close()
            # And the links of its status lead to the result, also to a part of it
            status = client.get(job).json
            result = urljoin(job, status["links"]["result"])
            whole, part = client.get(result), client.get(result, Range="bytes=100-299")
            assert hashlib.sha256(whole.body).hexdigest() == status["outputs"][-1]["sha256"]
            assert (part.status, part.body) == (206, whole.body[100:300])
    finally:
        house.one.avatar("resume")


def test_the_list_is_paged_filtered_and_only_ones_own(house: House) -> None:
    made = {house.ben.post("/jobs", {"kind": "speech", "text": f"Number {number}."}).json["job"] for number in range(3)}
    wait_for("ben's jobs", lambda: len(house.ben.get("/jobs?state=done").json["jobs"]) == len(made))
    seen, path = [], "/jobs?limit=2"
    while path:
        page = house.ben.get(path)
        seen += [one["job"] for one in page.json["jobs"]]
        link = page.headers.get("link", "")
        path = "/jobs" + link.partition("<")[2].partition(">")[0] if link else ""
    assert sorted(seen) == sorted(made)
    assert [one["name"][:8] for one in house.ben.get("/jobs?q=number+1").json["jobs"]] == ["number-1"]
    assert house.ben.get("/jobs/stats").json["states"] == {"done": 3}
    assert house.ben.get("/status").json["daemon"]["running"] is True
