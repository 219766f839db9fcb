"""A connection keeps little, waits for no headers for long, and answers what is no request, or too much, as any error."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack, suppress

import pytest

from daemon.doors.http import connections
from tests.daemon.doors.http.conftest import Door
from tests.support.http_door import PATIENCE_S

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


def test_headers_that_come_too_slowly_behind_another_request_end_the_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    body = b'{"kind": "speech", "text": "Hello."}'
    first = b"POST /jobs?wait=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
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
