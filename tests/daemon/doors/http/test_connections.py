"""A connection keeps little, waits for no headers for long, and answers what is no request, or too much, as any error."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.doors.http import connections
from daemon.doors.http.app import create_app
from daemon.doors.http.problems import RequestError
from tests.conftest import wait_for
from tests.daemon.doors.http.conftest import Door
from tests.support import http_door
from tests.support.http_door import PATIENCE_S, Caller

BEGIN = b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def answer_of(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


def flood(connection: socket.socket) -> None:
    for _ in range(4000):  # 16 MB: more than waits in the kernel
        connection.sendall(b"a" * 4096)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"BREW /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_by_a_problem_and_ends_the_connection(door: Door, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(data)
        answer = answer_of(one)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        told = json.loads(answer.read())
        assert (told["code"], told["status"]) == ("request-invalid", 400)
        assert one.recv(1) == b""


@pytest.mark.parametrize("where", ["head", "trailer"])
def test_a_header_without_end_is_not_kept_also_behind_a_body(door: Door, where: str) -> None:
    begin = BEGIN if where == "head" else BEGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(begin + b"X-Long: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(one)


def test_what_comes_behind_a_body_is_no_header(door: Door) -> None:
    # Given a body with trailers, which a proxy passes on without a look at them
    chunked = b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"kind":"speech"}\r\n0\r\n'
    trailers = b"Host: evil.example\r\nSec-Fetch-Site: cross-site\r\nX-Request-Id: theirs\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        # When all of it comes at once, before the request is looked at
        one.sendall(BEGIN + chunked + trailers)
        answer = answer_of(one)
        # Then they change nothing
        assert (answer.status, answer.read()[:11]) == (200, b'{"ok":false')
        assert answer.headers["x-request-id"] != "theirs"


def test_headers_that_come_too_slowly_behind_another_request_end_the_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    body = b'{"kind": "speech", "text": "Hello."}'
    first = b"POST /jobs?wait=0.2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as slow:
        slow.sendall(first + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"GET /health HTTP/1.1\r\nX-A")
        answer = answer_of(slow)
        assert (answer.status, answer.read() != b"") == (202, True)
        slow.settimeout(0.1)
        for _ in range(300):  # it sends a byte now and then, and is closed all the same
            with suppress(TimeoutError):
                assert slow.recv(100) == b""
                return
            slow.sendall(b"a")
    pytest.fail("the server goes on waiting")


def test_more_clients_than_are_served_are_told_to_come_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(socket.create_connection(("127.0.0.1", door.open.port)))
        refused = door.open.get("/health")
        assert (refused.status, refused.code) == (503, "too-many-requests")
        assert refused.headers["retry-after"]


@pytest.mark.parametrize("behind", [b"\r\n", b"rest of a body"])
def test_what_begins_no_request_behind_an_answer_does_not_keep_the_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch, behind: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.3)
    monkeypatch.setattr(connections, "REST_S", 0.3)
    refused = b"POST /jobs HTTP/1.1\r\nHost: another\r\nContent-Length: 9999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S / 4) as one:
        one.sendall(refused if behind.strip() else b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = answer_of(one)
        assert (answer.status, answer.read() != b"") == (421 if behind.strip() else 200, True)
        one.sendall(behind)
        assert one.recv(1) == b""


def ask_on(connection: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.01)


def test_a_client_that_reads_nothing_is_given_up_without_an_error_of_the_server(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.3)
    with capture_logs() as logs, socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(PATIENCE_S)
        one.connect(("127.0.0.1", door.open.port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            ask_on(one, time.monotonic() + PATIENCE_S)
        assert door.open.get("/health").status == 200
    assert not [one for one in logs if one["event"] == "request failed"]


def test_of_many_requests_at_once_so_many_are_answered_as_may_wait_and_no_more_kept(door: Door) -> None:
    one_of = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(one_of * 1000)
        answers = 0
        last = b""
        with suppress(ConnectionResetError):  # what it sent and nobody took
            while data := one.recv(1 << 16):
                answers, last = answers + data.count(b"HTTP/1.1 200"), data
    assert answers == connections.MAX_PIPELINED + 1
    assert b"connection: close" in last


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_would_rather_have_another_protocol_keeps_its_body_and_its_connection(
    door: Door, chunked: bool
) -> None:
    body = b'{"kind": "speech", "text": "Hello."}'
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    sent = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        for _ in range(2):
            one.sendall(
                BEGIN + wish + sent + b"\r\n" + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
            )
            answer = answer_of(one)
            assert (answer.status, json.loads(answer.read())["ok"]) == (200, True)


def test_a_tunnel_is_refused(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (answer_of(one).status, one.recv(1)) == (400, b"")


def test_what_still_comes_when_the_server_stops_is_told_to_come_again_and_a_job_that_is_there_is_not(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_door, "STOP_S", 0.2)
    job = door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"]
    with ThreadPoolExecutor() as pool:
        with http_door.serving(create_app(door.settings)) as client:
            waiting = pool.submit(client.post, f"/jobs/{job}/rerun?wait=60", {})
            upload = half_an_upload(client)
            wait_for("the second job", lambda: len(door.open.get("/jobs").json["jobs"]) == 2)
            wait_for("the upload", lambda: door.left_over)
        answer = waiting.result()
    assert (answer.status, answer.json["state"]) == (202, "waiting")
    assert door.open.get(f"/jobs/{answer.json['job']}").status == 200
    stopped = upload.getresponse()
    assert (stopped.status, stopped.headers["retry-after"]) == (503, "2")
    assert json.loads(stopped.read())["code"] == "server-stopping"
    assert [one for one in caplog.records if one.exc_info] == []


@pytest.mark.parametrize("path", ["/jobs/{}/events", "/ui/jobs/live"])
def test_events_break_off_when_the_server_stops_and_an_upload_comes_to_its_end(
    door: Door, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_door, "STOP_S", PATIENCE_S)
    job = door.open.post("/jobs", {"kind": "speech", "text": "Hello."}).json["job"]

    def end_upload() -> int:
        with pytest.raises(http.client.IncompleteRead):
            events.read()
        upload.send(b"WAVE")
        return upload.getresponse().status

    with ThreadPoolExecutor() as pool:
        with http_door.serving(create_app(door.settings)) as client:
            following = http.client.HTTPConnection("127.0.0.1", client.port, timeout=2 * PATIENCE_S)
            following.request("GET", path.format(job))
            events = following.getresponse()
            assert events.readline() == b"retry: 3000\n"
            upload = half_an_upload(client)
            wait_for("the upload", lambda: door.left_over)
            ended = pool.submit(end_upload)
        assert ended.result() == 201


def half_an_upload(client: Caller) -> http.client.HTTPConnection:
    """Begin an upload, and leave out its end."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/uploads?filename=a.wav")
    connection.putheader("Content-Length", "8")
    connection.endheaders(b"RIFF")
    return connection


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/jobs", "multipart/form-data; boundary=b"),
        ("POST", "/jobs", "application/json"),
        ("POST", "/uploads?filename=a.wav", "audio/wav"),
        ("PATCH", "/jobs/job-20260102T030405Z-0a1b2c3d", "application/json"),
        ("POST", "/v1/audio/speech", "application/json"),
    ],
)
def test_a_body_that_comes_a_byte_now_and_then_is_given_up_and_its_place_is_free(
    door: Door, monkeypatch: pytest.MonkeyPatch, method: str, path: str, kind: str
) -> None:
    monkeypatch.setattr(connections, "SLOW_S", 0.3)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 10000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as slow:
        slow.sendall(head.encode())
        if kind.startswith("multipart"):
            slow.sendall(b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n')
        slow.settimeout(0.05)
        for _ in range(600):
            with suppress(TimeoutError):
                begin = slow.recv(12, socket.MSG_PEEK)
                break
            slow.sendall(b" ")
        else:
            pytest.fail("the server goes on waiting")
        assert begin == b"HTTP/1.1 408"
        slow.settimeout(PATIENCE_S)
        answer = answer_of(slow)
        told = json.loads(answer.read())
        assert told.get("error", told)["code"] == "request-slow"
        assert answer.headers["connection"] == "close"
    assert door.left_over == []


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_refused_upload_gets_its_answer_also_where_the_connection_ends_with_it(
    door: Door, version: bytes, chunked: bool
) -> None:
    # Given a client that sends the whole body before it reads
    size = 8 << 20  # more than waits in the kernel
    sent = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % size
    head = b"POST /jobs HTTP/%s\r\nHost: another\r\nConnection: close\r\n%s\r\n" % (version, sent)
    part = b"a" * (1 << 16)
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
            one.sendall(head)
            for _ in range(size // len(part)):
                one.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            if chunked:
                one.sendall(b"0\r\n\r\n")
            # Then it reads the answer, and the end
            answer = answer_of(one)
            assert (answer.status, json.loads(answer.read())["code"]) == (421, "host-unknown")
            assert answer.headers["connection"] == "close"
            assert one.recv(1) == b""


def trickle(connection: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        connection.sendall(b"a" * 4096)
        time.sleep(0.001)


@pytest.mark.parametrize("sends", [True, False])
def test_the_rest_of_a_refused_upload_is_not_waited_for_without_end(
    door: Door, monkeypatch: pytest.MonkeyPatch, sends: bool
) -> None:
    monkeypatch.setattr(connections, "REST_S", 0.5 if sends else 600.0)
    monkeypatch.setattr(connections, "REST_IDLE_S", 600.0 if sends else 0.3)
    head = b"POST /jobs HTTP/1.1\r\nHost: another\r\nConnection: close\r\nContent-Length: 999999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(head)
        answer = answer_of(one)
        assert (answer.status, answer.read() != b"") == (421, True)
        if sends:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                trickle(one, time.monotonic() + PATIENCE_S)
        else:
            monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
            wait_for("its place", lambda: door.open.get("/health").status == 200)


@pytest.mark.parametrize("keeps", [True, False])
def test_no_more_of_a_refused_upload_is_read_than_an_upload_may_have(
    door: Door, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    monkeypatch.setattr(connections, "REST_BYTES", 1 << 20)
    way = b"keep-alive" if keeps else b"close"
    head = b"POST /jobs HTTP/1.1\r\nHost: another\r\nConnection: %s\r\nContent-Length: 999999999999\r\n\r\n" % way
    with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(head)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(one)


def test_a_request_that_cannot_be_read_gets_its_answer_also_while_more_of_it_comes(door: Door) -> None:
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
            one.sendall(b"BREW /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
            one.sendall(b"a" * (8 << 20))
            assert answer_of(one).status == 400


def test_a_body_that_breaks_off_in_the_middle_ends_its_request_at_once(door: Door) -> None:
    with capture_logs() as logs, socket.create_connection(("127.0.0.1", door.open.port), timeout=PATIENCE_S) as one:
        one.sendall(
            BEGIN.replace(b"/validate", b"/uploads?filename=a.wav") + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        )
        wait_for("the upload", lambda: door.left_over)
        one.sendall(b"no number of bytes\r\n")
        assert answer_of(one).status == 400
        wait_for("its files to be gone", lambda: not door.left_over)  # while the client holds the connection
    assert not [one for one in logs if one["event"] == "request failed"]


def test_a_number_of_bytes_is_told_in_words() -> None:
    body = connections.SteadyBody(lambda: asyncio.sleep(0, {}))
    body._came = 1
    assert str(body._too_slow()).startswith("1 byte of the body came")


def test_only_the_wait_for_the_client_counts_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now))
    pace = 2 * connections.LEAST_BYTES / connections.SLOW_S

    async def receive() -> dict[str, Any]:
        nonlocal now
        now += 1.0  # a second for each part
        return {"type": "http.request", "body": bytes(int(pace)), "more_body": True}

    async def read(parts: int) -> None:
        nonlocal now
        body = connections.SteadyBody(receive)
        for _ in range(parts):
            await body()
            now += 100.0  # the disk is busy

    asyncio.run(read(200))
    pace /= 4
    with pytest.raises(RequestError, match="bytes of the body came within"):
        asyncio.run(read(200))
