"""Who may do what: by host, by site, by API key; each sees only what is theirs."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import math
import os
import socket
from pathlib import Path

import pytest
import yaml

from daemon.config import Settings
from daemon.doors.http import connections
from daemon.doors.http.api_keys import ApiKeys, Limits
from daemon.doors.http.app import create_app
from daemon.doors.http.callers import Caller
from daemon.doors.http.limits import UploadLedger
from daemon.doors.http.problems import RequestError
from daemon.errors import AvatarError, ConfigError
from daemon.system import fs
from tests.daemon.doors.http.conftest import Door
from tests.support.at_once import at_once
from tests.support.http_door import serving

SPEECH = {"kind": "speech", "text": "Good morning."}


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "[::2]"]
)
def test_another_name_than_the_servers_reaches_no_route(door: Door, host: str) -> None:
    for path in ("/", "/health", "/jobs", "/nothing"):
        answer = door.open.get(path, Host=host)
        assert (answer.status, answer.code) == (421, "host-unknown")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "studio.example", "STUDIO.example:443"])
def test_the_servers_own_names_are_known_with_any_port(door: Door, host: str) -> None:
    assert door.open.get("/health", Host=host).status == 200


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "http://127.0.0.1.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://behind.a.proxy"}, True),
    ],
)
def test_pages_of_other_sites_change_nothing(door: Door, headers: dict[str, str], accepted: bool) -> None:
    answer = door.open.post("/jobs", SPEECH, **headers)
    assert answer.status == (202 if accepted else 403)
    assert bool(door.manifests) is accepted
    assert "access-control-allow-origin" not in answer.headers


def test_a_query_says_each_thing_once_unless_it_is_a_list(door: Door) -> None:
    assert door.open.get("/jobs?state=done&state=failed&tag=a&tag=b").status == 200
    for path in ("/jobs?by=anna&by=ben", "/jobs?limit=1&limit=2", "/jobs/stats?by=a&by="):
        answer = door.open.get(path)
        assert (answer.status, answer.code) == (422, "query-invalid")


def test_with_a_key_there_is_no_way_in_without_one(door: Door) -> None:
    assert door.open.get("/jobs").status == 200
    anna = door.key("anna")
    assert anna.get("/jobs").status == 200
    for headers in (
        {},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer {anna.key}x"},
        {"X_API_Key": "avk_none"},
    ):
        answer = door.open.get("/jobs", **headers)
        assert (answer.status, answer.code in ("key-missing", "key-refused")) == (401, True)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert door.open.get(f"/jobs?key={anna.key}&x-api-key={anna.key}").status == 401
    assert door.open.get("/jobs", X_API_Key=anna.key).status == 200
    # Not even where the file is spoilt
    door.settings.server.keys.write_text("{")
    refused = door.open.get("/jobs")
    assert (refused.status, refused.code) == (503, "keys-unreadable")
    assert str(door.root) not in refused.body.decode()  # to somebody who has no key
    assert anna.get("/health").status == 503


def test_whoever_revokes_the_last_key_lets_nobody_in(door: Door) -> None:
    anna, keys = door.key("anna"), ApiKeys(door.settings.server.keys)
    keys.revoke("anna")
    assert (door.open.get("/jobs").code, anna.get("/jobs").code) == ("key-missing", "key-refused")
    assert ApiKeys(keys.path).wanted()  # also after a restart
    keys.path.unlink()
    assert door.open.get("/jobs").code == "key-missing"
    assert not ApiKeys(keys.path).wanted()


def test_each_key_sees_and_changes_its_own_jobs_alone(door: Door) -> None:
    anna, ben, reader, boss = door.key("anna"), door.key("ben"), door.key("anna", "read"), door.key("boss", "admin")
    job = anna.post("/jobs", SPEECH).json["job"]
    assert {who: [one["job"] for one in key.get("/jobs").json["jobs"]] for who, key in
            {"anna": anna, "ben": ben, "reader": reader, "boss": boss}.items()} == {
        "anna": [job], "ben": [], "reader": [job], "boss": [job]}  # fmt: skip
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/retry")):
        assert ben.send(method, f"/jobs/{job}{path}").code == "job-unknown"
    assert ben.post("/jobs", {"base": job, "kind": "speech"}).code == "job-unknown"
    assert ben.get("/jobs?by=anna").code == "not-allowed"
    assert reader.post("/jobs", SPEECH).code == "not-allowed"
    assert reader.send("DELETE", f"/jobs/{job}").code == "not-allowed"


def test_a_key_takes_no_more_than_its_limits(door: Door) -> None:
    few = door.key("few", jobs_per_minute=2, priority=0, kinds=("speech",))
    assert few.post("/jobs", {**SPEECH, "priority": 1}).code == "not-allowed"
    assert few.post("/jobs", {"text": "Hi.", "image": "upload:up-0123456789abcdef"}).code == "upload-unknown"
    assert few.post("/video/info", {}).code in ("not-allowed", "manifest-invalid")
    for number in (1, 2, 3):
        answer = few.post("/jobs", {**SPEECH, "text": f"Number {number}."})
        assert answer.status == (202 if number < 3 else 429)
    assert int(answer.headers["retry-after"]) > 0
    waiting = door.key("waiting", waiting_jobs=1)
    assert [waiting.post("/jobs", SPEECH).status for _ in range(2)] == [202, 429]


def test_a_key_sends_and_says_no_more_in_a_day_than_its_limits(door: Door) -> None:
    # Bytes: those that a request says it has are refused before they come, and what has come is counted
    few = door.key("bytes", upload_bytes_per_day=5000)
    assert [few.send("POST", "/uploads", b"\x89PNG\r\n\x1a\n" + b"x" * 2000).status for _ in range(3)] == [
        201,
        201,
        429,
    ]
    part = ("image", "a.png", b"\x89PNG\r\n\x1a\n" + b"x" * 2000)
    assert few.post_parts("/jobs", ("text", None, b"Hi."), part).code == "limit-reached"
    assert (door.manifests, door.left_over) == ([], [])
    # Seconds of speech, estimated from the text until they are spoken
    short = door.key("speech", speech_s_per_day=10)
    assert short.post("/jobs", {"kind": "speech", "text": "word " * 100}).code == "limit-reached"
    assert short.post("/jobs", SPEECH).status == 202


def test_a_retry_is_a_job_of_the_minute(door: Door) -> None:
    few = door.key("few", jobs_per_minute=2)
    told = few.post("/jobs", {**SPEECH, "name": "hello"}).json
    job = told["job"]
    # Given that it failed
    (door.settings.paths.outbox / "hello.json").write_text(json.dumps({**told, "schema": 1, "state": "failed"}))
    assert few.post(f"/jobs/{job}/retry").status == 202
    assert few.post(f"/jobs/{job}/retry").code == "limit-reached"
    assert few.post("/jobs", SPEECH).code == "limit-reached"


@pytest.mark.usefixtures("processes")
def test_files_to_validate_are_uploads(door: Door) -> None:
    parts = ("kind", None, b"voice"), ("audio", "a.wav", b"RIFF" + bytes(600))
    reader = door.key("reader", "read")
    assert reader.post_parts("/validate", *parts).code == "not-allowed"
    assert reader.post("/validate", SPEECH).json["ok"]
    few = door.key("few", upload_bytes_per_day=1000)
    assert few.post_parts("/validate", *parts).status == 200
    assert few.post_parts("/validate", *parts).code == "limit-reached"


def test_limits_hold_for_requests_at_once_and_before_the_daemon_has_seen_them(door: Door) -> None:
    for limits in ({"jobs_per_minute": 2}, {"waiting_jobs": 2}, {"speech_s_per_day": 12.0}):
        few = door.key(next(iter(limits)).replace("_", ""), **limits)
        job = {"kind": "speech", "text": "word " * 14}  # 5 s
        post = functools.partial(few.post, "/jobs", job)
        answers = [one.status for one in at_once([post] * 8)]
        assert sorted(answers) == [202, 202, *[429] * 6], limits
    # What was handed in is told again, also where no more may be handed in
    one = door.key("one", jobs_per_minute=1)
    first, again = (one.post("/jobs", SPEECH, Idempotency_Key="k") for _ in range(2))
    assert (first.status, again.status, again.json["job"]) == (202, 202, first.json["job"])
    assert one.post("/jobs", SPEECH, Idempotency_Key="other").code == "limit-reached"


def test_bytes_are_counted_for_a_day_by_all_processes(tmp_path: Path) -> None:
    now = 1e9
    caller = Caller("anna", "submit", "k", Limits(upload_bytes_per_day=100))
    one, other = (UploadLedger(tmp_path, lambda: now) for _ in range(2))
    one.add(caller, 60)
    with pytest.raises(RequestError):
        other.add(caller, 60)
    now += 23 * 3600
    other.add(caller, 40)
    now += 3600
    one.add(caller, 60)
    with pytest.raises(RequestError):
        one.check(caller, 1)


def test_a_key_is_kept_as_a_digest_expires_and_is_revoked_at_once(tmp_path: Path) -> None:
    now = 1000.0
    keys = ApiKeys(tmp_path / "keys.json", lambda: now)
    made, text = keys.add("anna", "submit", expires=2000.0)
    other = ApiKeys(tmp_path / "keys.json", lambda: now)  # another process
    assert text.split("_")[-1] not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o640
    assert other.find(text) == made
    now = 2000.0
    assert other.find(text) is None
    now = 1000.0
    keys.revoke("anna")
    assert other.find(text) is None


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e300])
def test_no_key_has_an_end_or_a_limit_that_is_no_number(tmp_path: Path, wrong: float) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    keys.add("anna", "submit", expires=2000.0, limits=Limits(speech_s_per_day=3000.0))
    with pytest.raises(AvatarError, match="no number"):
        keys.add("bert", "submit", expires=wrong)
    assert [key.name for key in keys.all()] == ["anna"]
    # And a file that says so lets nobody in
    text = keys.path.read_text()
    keys.path.write_text(text.replace("2000.0", json.dumps(wrong)))
    with pytest.raises(ConfigError, match="is none"):
        keys.all()
    if not math.isfinite(wrong):
        keys.path.write_text(text.replace("3000.0", json.dumps(wrong)))
        with pytest.raises(ConfigError, match="is none"):
            keys.all()


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    def add(number: int) -> None:
        ApiKeys(tmp_path / "keys.json").add(f"key{number}", "submit")  # as another process has its own

    at_once([functools.partial(add, number) for number in range(8)])
    assert {key.name for key in ApiKeys(tmp_path / "keys.json").all()} == {f"key{number}" for number in range(8)}
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_server_that_others_reach_wants_a_key_and_keys_want_a_daemon_that_believes_them(tmp_path: Path) -> None:
    raw = {"paths": {name: name for name in ("inbox", "outbox", "spool")}}
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    for address in ("127.0.0.1", "::1", "localhost", "unix"):
        create_app(settings, address)
    for address in ("0.0.0.0", "192.168.1.4", "::", "studio.example"):
        with pytest.raises(ConfigError) as refused:
            create_app(settings, address)
        assert refused.value.code == "server-open"
    ApiKeys(settings.server.keys).add("anna", "submit")
    with pytest.raises(ConfigError) as refused:
        create_app(settings, "127.0.0.1")
    assert refused.value.code == "server-user-unknown"
    # And what it says to write is what the configuration takes
    line = refused.value.hint.split("`")[1]
    create_app(Settings.parse({**raw, **yaml.safe_load(line)}, tmp_path / "config.yaml"), "127.0.0.1")
    create_app(Settings.parse({**raw, "server": {"user": str(os.geteuid())}}, tmp_path / "config.yaml"), "0.0.0.0")


def test_a_first_key_made_while_the_server_runs_hands_in_nothing_that_nobody_would_believe(tmp_path: Path) -> None:
    # Given a server without keys, and no `server.user`
    raw = {"paths": {name: name for name in ("inbox", "outbox", "spool")}}
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    for folder in (settings.paths.inbox, settings.paths.outbox):
        folder.mkdir()
    with serving(create_app(settings, "127.0.0.1")) as client:
        assert client.post("/jobs", SPEECH).status == 202
        # When a key is made
        key = ApiKeys(settings.server.keys).add("anna", "submit")[1]
        # Then its jobs, which would be somebody else's, are refused, and whoever watches the server hears of it
        refused = client.with_key(key).post("/jobs", SPEECH)
        assert (refused.status, refused.code) == (503, "server-user-unknown")
        assert client.get("/health").json == {"ok": False, "wrong": ["server-user-unknown"]}
    assert len(list(settings.paths.inbox.glob("*.yaml"))) == 1


def test_the_frameworks_own_errors_have_the_same_shape(door: Door) -> None:
    assert door.open.get("/nothing").code == "page-unknown"
    wrong = door.open.send("PUT", "/jobs")
    assert (wrong.code, wrong.headers["allow"]) == ("method-unknown", "GET, HEAD, POST")
    assert door.open.get("/jobs?limit=0").code == "query-invalid"
    for since in ("nan", "inf", "-1e308", "1e308"):
        assert door.open.get(f"/jobs?since={since}").code == "query-invalid"
    for query, says in (
        ("/jobs?limit=0", "it must be 1 or more, not “0”"),
        ("/jobs?limit=x", "it must be a whole number, not “x”"),
        ("/jobs?limit=" + "9" * 5000, "it must be a smaller whole number, not “" + "9" * 60 + "…”"),
        (
            "/jobs?state=dne",
            "it must be one of waiting, queued, running, held, done, failed, cancelled, pending, processing, completed, "
            "not “dne”",
        ),
        ("/jobs?q=" + "x" * 401, "it must be at most 400 characters, not “" + "x" * 60 + "…”"),
        ("/video/info", "it is missing"),
    ):
        (remark,) = door.open.get(query).json["errors"]
        assert remark["detail"] == says
    job = door.open.post("/jobs", SPEECH).json["job"]
    answer = door.open.send("PATCH", f"/jobs/{job}", b'{"priority": "high"}', {"Content-Type": "application/json"})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "#/priority")
    assert answer.json["detail"] == "`priority` in the body cannot be used: it must be a whole number, not “high”."
    for query, says in (
        ("state=bogus", "`state` in the query"),
        ("after=99999999999999999999", f"it must be {2**63 - 1} or less"),
    ):
        assert says in door.open.get(f"/jobs?{query}").json["detail"]
    for odd in ("/jobs/%00", "/jobs/%ff", "/jobs/..%2f..%2fetc", "/jobs/job-x/result/%2e%2e"):
        assert door.open.get(odd).status == 404
    assert door.open.send("GET", "/jobs", headers={"X-Big": "x" * 40_000}).code == "headers-too-large"


def test_requests_are_counted_by_route_for_admins_alone(door: Door) -> None:
    job = door.open.post("/jobs", SPEECH).json["job"]
    for path in (f"/jobs/{job}", "/jobs/job-x", "/no/such/page", "/no/other/page"):
        door.open.get(path)
    door.open.get("/", Host="evil.example")
    boss, anna = door.key("boss", "admin"), door.key("anna")
    text = boss.get("/metrics").body.decode()
    for line in (
        'avatar_http_requests_total{method="POST",route="/jobs",status="202"} 1.0',
        'avatar_http_requests_total{method="GET",route="/jobs/{job}",status="200"} 1.0',
        'avatar_http_requests_total{method="GET",route="/jobs/{job}",status="404"} 1.0',
        'avatar_http_requests_total{method="GET",route="other",status="404"} 2.0',
        'avatar_http_refused_total{code="host-unknown"} 1.0',
        "avatar_http_uploads 0.0",
    ):
        assert line in text.splitlines(), text
    assert anna.get("/metrics").code == "not-allowed"


def test_head_is_answered_as_get_without_the_body(door: Door) -> None:
    job = door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"]
    for path in ("/", "/health", "/jobs", f"/jobs/{job}", "/voice/profiles", "/openapi.json", "/jobs/none", "/ui/"):
        get, head = door.open.get(path), door.open.send("HEAD", path)
        assert (head.status, head.body) == (get.status, b""), path
        same = ("content-length", "content-type", "etag")
        assert [head.headers.get(one) for one in same] == [get.headers.get(one) for one in same], path
    # A stream that would not end is not begun, and what nothing gets has no head
    assert door.open.send("HEAD", f"/jobs/{job}/events").headers["content-type"].startswith("text/event-stream")
    refused = door.open.send("HEAD", "/validate")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


def test_headers_that_come_too_slowly_end_the_connection(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=60) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A")
        assert slow.recv(100) == b""  # closed by the server
    # A connection that sends them at once serves several requests
    quick = http.client.HTTPConnection("127.0.0.1", door.open.port, timeout=60)
    try:
        for _ in range(2):
            quick.request("GET", "/health")
            assert quick.getresponse().read()
    finally:
        quick.close()


def test_no_answer_is_kept_back_until_the_client_confirms_its_head(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = connections.BoundedProtocol.connection_made, []

    def look(self: connections.BoundedProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(connections.BoundedProtocol, "connection_made", look)
    assert door.open.get("/health").status == 200
    assert [bool(one) for one in seen] == [True]


def test_a_change_of_the_keys_clears_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    with monkeypatch.context() as patch:
        patch.setattr(fs, "discard", lambda path: None)
        patch.setattr(fs, "rename", _die)
        with pytest.raises(KeyboardInterrupt):
            keys.add("anna", "read")
    keys.add("ben", "read")
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def _die(*args: object) -> None:
    raise KeyboardInterrupt
