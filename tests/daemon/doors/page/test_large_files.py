"""A large file in the form of the page streams to the disk, is one job, and the server's memory does not grow with it."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator

import pytest

from tests.daemon.doors.http.conftest import server  # noqa: F401 (a fixture)
from tests.support.endurance import repeats
from tests.support.http_door import PATIENCE_S, multipart
from tests.support.http_server import Server

MIB = 2**20
#: How much more memory the server may take at its highest, in bytes; it holds some pieces of an upload at a time.
GROWTH = 32 * MIB


def send_form(port: int, mib: int, key: str) -> tuple[int, str, str]:
    """Send the form with a recording of so many MiB as it is made; returns status, where it leads, and the file's digest."""
    digest = hashlib.sha256()
    head = multipart(("text", None, b"Hello."), ("do", None, b"make"), ("key", None, key.encode()), end=False)
    head += b'--XXbound\r\nContent-Disposition: form-data; name="audio"; filename="speech.wav"\r\n\r\n'
    tail = b"\r\n--XXbound--\r\n"

    def pieces() -> Iterator[bytes]:
        yield head
        for number in range(mib):
            piece = b"RIFF" + number.to_bytes(8, "big") * (MIB // 8)
            digest.update(piece[:MIB])
            yield piece[:MIB]
        yield tail

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        told = {
            "Content-Type": "multipart/form-data; boundary=XXbound",
            "Content-Length": str(len(head) + mib * MIB + len(tail)),
        }
        connection.request("POST", "/ui/", pieces(), told)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", ""), digest.hexdigest()
    finally:
        connection.close()


@pytest.mark.usefixtures("processes")
def test_a_large_file_in_the_form_is_a_job_and_memory_stays_flat(server: Server) -> None:  # noqa: F811
    mib = repeats("AVATAR_UPLOAD_MIB", 100, 400)
    # Given a server that has had one small form
    assert send_form(server.client.port, 1, "a" * 32)[0] == 303
    before = server.most_memory
    # When a large one comes
    status, place, digest = send_form(server.client.port, mib, "b" * 32)
    # Then it leads to its job, whose file is whole, and no server ever held it
    assert status == 303
    assert place.startswith("./jobs/job-")
    jobs = [path for path in server.inbox.glob("*.wav") if path.stat().st_size == mib * MIB]
    assert len(jobs) == 1
    with jobs[0].open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    assert server.most_memory - before < GROWTH
