"""What is handed in by HTTP is made by the daemon as what is dropped is, and its results come back as they are."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.app import create_app
from stages.media.ffmpeg import ffmpeg_path
from tests.conftest import PORTRAIT, Installation, wait_for
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
    beyond = house.anna.get(path, Range=f"bytes={len(whole.body)}-")
    assert (beyond.status, beyond.code, beyond.headers["content-range"]) == (
        416,
        "range-beyond",
        f"bytes */{len(whole.body)}",
    )
    assert house.anna.get(path, Range="bytes=-0").code == "range-beyond"
    several = house.anna.get(path, Range=f"bytes=0-9, {len(whole.body)}-")
    assert (several.status, several.body) == (206, whole.body[:10])
    for none in ("bytes=5-2x", "bytes=5-2", f"bytes=0-{'9' * 5000}", "lines=1"):  # passed over
        assert (house.anna.get(path, Range=none).status, house.anna.get(path, Range=none).body) == (200, whole.body), (
            none
        )
    other = house.anna.get(path, Range=f"bytes={len(whole.body)}-", If_Range='"that of another file"')
    assert (other.status, other.body) == (200, whole.body)
    assert house.anna.get(path, Range="bytes=0-9", If_Range=whole.headers["etag"]).status == 206
    script = house.anna.get("/ui/static/app.css", Range="bytes=99999999-")
    assert (script.status, script.code) == (416, "range-beyond")
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

        assert change(priority=5, held=False) == 409
        assert change(priority=5, held=True, reason="The text changes.") == 202
        held = reaches("held")["held"]
        assert isinstance(held, dict)
        assert (held["by"], held["reason"]) == ("anna", "The text changes.")
        assert change(held=False) == 202
        assert house.ben.send("DELETE", path).code == "job-unknown"
        assert house.anna.send("DELETE", path).status == 202
        reaches("cancelled")
        assert "cancel" not in house.anna.get(path).json["links"]
        assert house.anna.send("DELETE", path).code == "job-finished"
        assert house.anna.get(f"{path}/result").code == "cleared"
        assert house.anna.post(f"{path}/retry").status == 202
    finally:
        house.one.avatar("resume")
    reaches("done")
    changed = house.anna.post(f"{path}/rerun?wait=60", {"text": "Wait for us."})
    assert (changed.status, changed.json["base"]) == (200, job)
    # And one that changes nothing needs no body, is one job under one key, and its name tells which it is made of
    twice = [house.anna.send("POST", f"{path}/rerun", headers={"Idempotency-Key": "again"}) for _ in range(2)]
    assert [one.status for one in twice] == [202, 202]
    assert len({one.json["job"] for one in twice}) == 1
    name = house.anna.get(path).json["name"]
    assert (changed.json["name"], twice[0].json["name"]) == (f"{name}-v2", f"{name}-v3")


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


def test_a_batch_makes_a_job_of_each_row_in_the_senders_name_and_says_what_became_of_them(house: House) -> None:
    template = json.dumps({"template": {"kind": "speech", "text": "Hello {{name}}."}, "name": "names"})
    table = b"name\nAnna\nBen\n"
    made = house.anna.post_parts(
        "/batches", ("manifest", None, template.encode()), ("rows", "names.csv", table), Prefer="wait=60"
    )
    assert (made.status, made.json["state"]) == (200, "done"), made.body
    at, links = f"/batches/{made.json['job']}", made.json["links"]
    assert house.anna.get(at).json["batch"]["done"] == 2
    assert [one["job"] for one in house.anna.get("/batches").json["batches"]] == [made.json["job"]]
    first = house.anna.get(f"{urljoin('/batches', links['rows'])}?state=done&limit=1").json
    (row,) = first["rows"]
    assert (row["row"], row["state"], first["next"]) == (1, "done", 1)
    assert house.anna.get(f"/jobs/{row['job']}").json["by"] == "anna"
    assert house.anna.get(f"{at}/rows?state=failed").json == {"rows": [], "next": None}
    report = house.anna.get(urljoin("/batches", links["report"]))
    assert (report.headers["content-type"], b"Ben" in report.body) == ("text/csv; charset=utf-8", True)
    assert house.anna.post(f"{at}/retry-failed").code == "job-not-failed"
    assert house.anna.post(f"/jobs/{made.json['job']}/rerun", {}).code == "batch-refused"
    assert house.ben.get(at).code == "job-unknown"


def test_a_batch_with_a_picture_for_all_rows_is_made(house: House) -> None:
    made = house.anna.post_parts(
        "/batches",
        ("image", "anna.png", PORTRAIT.read_bytes()),
        ("manifest", None, b'{"template": {"kind": "detect"}, "name": "faces"}'),
        ("rows", "faces.csv", b"output\nfirst\nsecond\n"),
        Prefer="wait=60",
    )
    assert (made.status, made.json["state"], made.json["batch"]["done"]) == (200, "done", 2), made.body


def test_a_batch_whose_rows_have_pictures_of_their_own_is_made(house: House) -> None:
    pictures = [PORTRAIT.read_bytes(), b"GIF89a is no portrait"]
    refs = [house.anna.send("POST", "/uploads?filename=face.png", one).json["ref"] for one in pictures]
    rows = "output,image\n" + "".join(f"own-{number},{ref}\n" for number, ref in enumerate(refs))
    made = house.anna.post_parts(
        "/batches",
        ("manifest", None, b'{"template": {"kind": "detect"}, "name": "own-faces"}'),
        ("rows", "faces.csv", rows.encode()),
        Prefer="wait=60",
    )
    assert made.status == 200, made.body
    assert (made.json["batch"]["done"], made.json["batch"]["failed"]) == (1, 1), made.body


def test_the_list_is_paged_filtered_and_only_ones_own(house: House) -> None:
    made = {
        house.ben.post("/jobs", {"kind": "speech", "text": f"Number {word}."}).json["job"]
        for word in ("one", "two", "three")
    }
    wait_for("ben's jobs", lambda: len(house.ben.get("/jobs?state=done").json["jobs"]) == len(made))
    seen, path = [], "/jobs?limit=2"
    while path:
        page = house.ben.get(path)
        seen += [one["job"] for one in page.json["jobs"]]
        link = page.headers.get("link", "")
        path = "/jobs" + link.partition("<")[2].partition(">")[0] if link else ""
    assert sorted(seen) == sorted(made)
    assert [one["name"][:10] for one in house.ben.get("/jobs?q=number+two").json["jobs"]] == ["number-two"]
    assert house.ben.get("/jobs/stats").json["states"] == {"done": 3}
    assert house.ben.get("/status").json["daemon"]["running"] is True


def test_openais_clients_get_speech_in_every_form_by_a_job_of_their_own(house: House) -> None:
    wanted = {"model": "tts-1", "voice": "alloy", "input": TEXT}
    wav = house.anna.post("/v1/audio/speech", wanted | {"response_format": "wav", "instructions": "Whisper."})
    assert (wav.status, wav.body[:4]) == (200, b"RIFF"), wav.body
    with wave.open(io.BytesIO(wav.body)) as file:
        seconds = file.getnframes() / file.getframerate()
    # Then it is the speech of anna's own job
    job = house.anna.get(f"/jobs/{wav.headers['x-avatard-job']}").json
    assert (job["kind"], job["by"], hashlib.sha256(wav.body).hexdigest()) == (
        "speech", "anna", job["outputs"][-1]["sha256"],
    )  # fmt: skip
    assert house.ben.get(f"/jobs/{job['job']}").code == "job-unknown"
    # And each other form is what it says it is, MP3 where none is asked for
    for form, kind, begins in (
        (None, "audio/mpeg", b"ID3"),
        ("opus", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
    ):
        answer = house.anna.post("/v1/audio/speech", wanted | ({"response_format": form} if form else {}))
        assert (answer.headers["content-type"], answer.body[: len(begins)]) == (kind, begins), form
    pcm = house.anna.post("/v1/audio/speech", wanted | {"response_format": "pcm"})
    assert len(pcm.body) / 2 / 24_000 == pytest.approx(seconds, abs=0.01)
    # And it comes as events, and with the times of its words
    events = house.anna.post("/v1/audio/speech", wanted | {"response_format": "pcm", "stream_format": "sse"})
    told = [json.loads(line.removeprefix("data: ")) for line in events.body.decode().split("\n\n") if line]
    assert b"".join(base64.b64decode(one.get("audio", "")) for one in told) == pcm.body
    assert [one["type"] for one in told][-2:] == ["speech.audio.delta", "speech.audio.done"]
    timed = house.anna.post("/v1/audio/speech?timestamps=true", wanted | {"response_format": "pcm"}).json
    assert base64.b64decode(timed["audio"]) == pcm.body
    assert [one["word"] for one in timed["timestamps"]] == TEXT.split()
    assert all(0 <= one["start_time"] < one["end_time"] <= seconds for one in timed["timestamps"])
    # And the voices are listed by the names that can be asked for
    wait_for("the list of voices", lambda: house.anna.get("/v1/audio/voices").json["voices"])
    listed = house.anna.get("/v1/audio/voices").json
    assert "heart" in listed["voices"]
    assert {"id": "heart", "name": "heart"} in listed["data"]
    # And a name that is none is told with the one that was meant
    wrong = house.anna.post("/v1/audio/speech", wanted | {"voice": "hart"})
    assert (wrong.status, wrong.json["error"]["code"]) == (400, "voice-unknown")
    assert "'heart'" in wrong.json["error"]["message"]
    # And a name that is like none is answered with what lists them here: nobody sees the outbox
    job = {"kind": "speech", "text": TEXT, "voice": "quux"}
    told = house.anna.post("/v1/audio/speech", wanted | {"voice": "quux"}).json["error"]["message"]
    hint = house.anna.post("/jobs?wait=60", job).json["error"]["hint"]
    for text in (told, hint):
        assert "All are listed by `GET /v1/audio/voices`." in text


def test_openais_own_client_speaks_streams_lists_and_raises_its_own_errors(house: House) -> None:
    import openai  # half a second, which other processes that collect these tests do not spend

    with openai.OpenAI(base_url=f"http://127.0.0.1:{house.anna.port}/v1", api_key=house.anna.key) as client:
        assert "tts-1" in [one.id for one in client.models.list()]
        assert client.models.retrieve("tts-1").owned_by == "avatard"
        spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="wav")
        assert spoken.content[:4] == b"RIFF"
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="heart", input=LONG, response_format="pcm", speed=1.5
        ) as answer:
            pieces = list(answer.iter_bytes(4096))
        assert sum(map(len, pieces)) / 2 / 24_000 > 10
        with pytest.raises(openai.BadRequestError) as wrong:
            client.audio.speech.create(model="tts-1", voice="hart", input=TEXT)
        assert (wrong.value.code, wrong.value.status_code) == ("voice-unknown", 400)
        with pytest.raises(openai.AuthenticationError) as refused:
            client.with_options(api_key="avk_none").models.list()
        assert refused.value.code == "key-refused"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("whisper-9")


def test_speech_that_nobody_waits_for_any_more_is_cancelled(house: House) -> None:
    house.one.avatar("pause", "--reason", "test")
    try:
        body = json.dumps({"model": "tts-1", "voice": {"id": "heart"}, "input": "Nobody hears this sentence."})
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.anna.key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

        def state() -> str | None:
            found = house.anna.get("/jobs?q=nobody+hears").json["jobs"]
            return found[0]["state"] if found else None

        with socket.create_connection(("127.0.0.1", house.anna.port)) as connection:
            connection.sendall((head + body).encode())
            wait_for("the job", lambda: state() == "queued")
        wait_for("the job to be cancelled", lambda: state() == "cancelled")
    finally:
        house.one.avatar("resume")


LONG = "The train on the next platform leaves in a moment. " * 12


def test_a_long_text_is_heard_while_it_is_spoken_in_every_form(house: House) -> None:
    """Its sound is that of the job's result, but for the loudness; nothing is left in the outbox when it has ended."""
    wanted = {"model": "tts-1", "voice": "heart", "input": LONG, "response_format": "pcm"}
    live = house.anna.post("/v1/audio/speech", wanted)
    assert (live.status, live.headers.get("content-length")) == (200, None), live.body
    job = house.anna.get(f"/jobs/{live.headers['x-avatard-job']}?wait=60").json
    wait_for("the job", lambda: house.anna.get(f"/jobs/{job['job']}").json["state"] == "done")
    whole = house.anna.post("/v1/audio/speech?timestamps=true", wanted).json
    heard, made = (np.frombuffer(data, "<i2").astype(float) for data in (live.body, base64.b64decode(whole["audio"])))
    assert len(heard) == len(made)
    assert np.corrcoef(heard, made)[0, 1] > 0.97
    assert abs(20 * np.log10(heard.std() / made.std())) < 2.0
    for form, begins in (("mp3", b"ID3"), ("opus", b"OggS"), ("aac", b"\xff\xf1"), ("flac", b"fLaC"), ("wav", b"RIFF")):
        answer = house.anna.post("/v1/audio/speech", wanted | {"response_format": form, "input": f"{form}. {LONG}"})
        assert (answer.body[: len(begins)], answer.headers.get("content-length")) == (begins, None), form
        assert decoded_s(answer.body) == pytest.approx(len(made) / 24_000, abs=3.0), form
    events = house.anna.post("/v1/audio/speech", wanted | {"stream_format": "sse", "input": f"Events. {LONG}"})
    told = [json.loads(line.removeprefix("data: ")) for line in events.body.decode().split("\n\n") if line]
    assert {one["type"] for one in told[:-1]} == {"speech.audio.delta"}
    sent = b"".join(base64.b64decode(one["audio"]) for one in told[:-1])
    assert len(sent) / 2 / 24_000 == pytest.approx(len(made) / 24_000, abs=3.0)
    assert told[-1]["type"] == "speech.audio.done"
    assert list(house.one.outbox.glob(".job-*.speech.tmp")) == []
    last = f"/jobs/{events.headers['x-avatard-job']}"
    wait_for("the job", lambda: house.anna.get(last).json["state"] == "done")


def test_a_speech_whose_client_goes_while_it_is_spoken_is_cancelled_and_leaves_nothing(house: House) -> None:
    body = json.dumps({"model": "tts-1", "voice": "heart", "input": "Somebody leaves the room now. " * 130})
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.anna.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", house.anna.port)) as connection:
        connection.sendall((head + body).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    wait_for(
        "the job to be cancelled",
        lambda: house.anna.get("/jobs?q=somebody+leaves").json["jobs"][0]["state"] == "cancelled",
    )
    assert list(house.one.outbox.glob(".job-*.speech.tmp")) == []


def decoded_s(sound: bytes) -> float:
    """Return how long a sound is that ffmpeg can read from a pipe, in s."""
    command = [ffmpeg_path(), "-v", "error", "-i", "pipe:0", "-f", "s16le", "-ar", "24000", "-ac", "1", "pipe:1"]
    return len(subprocess.run(command, input=sound, capture_output=True, check=True).stdout) / 2 / 24_000
