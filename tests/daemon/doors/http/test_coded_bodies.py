"""A body that is compressed, or a part that is coded, is refused and never taken for what it holds."""

from __future__ import annotations

import gzip
import json
import socket

import pytest

from tests.daemon.doors.http.conftest import Door
from tests.support.http_door import multipart

SPEECH = {"kind": "speech", "text": "Good morning."}


@pytest.mark.parametrize("coding", ["gzip", "identity"])
@pytest.mark.parametrize("path", ["/jobs", "/uploads", "/validate", "/v1/audio/speech"])
def test_a_body_that_is_compressed_is_refused_and_never_kept_as_it_came(door: Door, path: str, coding: str) -> None:
    body = json.dumps(SPEECH).encode()
    sent = gzip.compress(body) if coding == "gzip" else body
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = door.open.send("POST", path, sent, headers)
    if coding == "identity":
        assert answer.status != 415
        return
    assert answer.status == 415
    told = answer.json["error"] if path.startswith("/v1/") else answer.json
    assert told["code"] == "media-type"
    assert answer.headers["accept-encoding"] == "identity"
    assert (door.manifests, door.left_over) == ([], [])


@pytest.mark.parametrize(
    "coded", [["Content-Encoding: identity", "Content-Encoding: gzip"], ["Transfer-Encoding: gzip, chunked"]]
)
def test_no_header_hides_that_a_body_is_compressed(door: Door, coded: list[str]) -> None:
    body = gzip.compress(json.dumps(SPEECH).encode())
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    is_chunked = "chunked" in coded[-1]
    length = [] if is_chunked else [f"Content-Length: {len(body)}"]
    lines = [
        "POST /jobs HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Connection: close",
        *length,
        *coded,
        "",
        "",
    ]
    with socket.create_connection(("127.0.0.1", door.open.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + (chunk if is_chunked else body))
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 415 "), answer
    assert b"The body is coded (gzip)" in answer


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "Content-Transfer-Encoding: base64"])
def test_a_part_that_is_coded_is_refused(door: Door, header: str) -> None:
    plain = multipart(("text", None, b"Hi."))
    coded = plain.replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode(), 1)
    answer = door.open.send("POST", "/jobs", coded, {"Content-Type": "multipart/form-data; boundary=XXbound"})
    assert (answer.status, answer.code) == (415, "media-type")
    assert header.partition(":")[0].lower() in answer.json["detail"]
    assert (door.manifests, door.left_over) == ([], [])
