"""Large uploads stream to the disk, also through a proxy, and the server's memory does not grow with them."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.endurance import repeats
from tests.support.http_door import PATIENCE_S, Caller
from tests.support.http_server import Server
from tests.support.machine.nginx import PLACE, behind_nginx, nginx

MIB = 2**20
#: How much more memory the server may take at its highest, in bytes; it holds some pieces of an upload at a time.
GROWTH = 32 * MIB


def send(client: Caller, path: str, mib: int) -> tuple[int, bytes, str]:
    """POST so many MiB as they are made; returns status, answer, and the digest of what was sent."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(mib):
            piece = number.to_bytes(8, "big") * (MIB // 8)
            digest.update(piece)
            yield piece

    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, pieces(), {"Content-Length": str(mib * MIB)})
        answer = connection.getresponse()
        return answer.status, answer.read(), digest.hexdigest()
    finally:
        connection.close()


@pytest.mark.usefixtures("processes")
@pytest.mark.skipif(nginx() is None, reason="nginx is not installed and could not be fetched (Debian: nginx)")
def test_a_large_upload_streams_through_a_proxy_and_memory_stays_flat(server: Server, tmp_path: Path) -> None:
    mib = repeats("AVATAR_UPLOAD_MIB", 100, 400)
    # Given a server that has had one small upload, and nginx before it
    assert send(server.client, "/uploads?filename=small.wav", 1)[0] == 201
    before = server.most_memory
    with behind_nginx(tmp_path / "nginx", server.client.port) as client:
        # When a large one comes through it
        status, answer, digest = send(client, f"{PLACE}/uploads?filename=large.wav", mib)
        assert status == 201, answer
        # Then it is whole, nothing of it went to the proxy's disk, and no server ever held it
        (kept,) = [path for path in server.inbox.rglob("*") if path.is_file() and path.stat().st_size == mib * MIB]
        with kept.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == digest
        assert [path for path in (tmp_path / "nginx").rglob("*") if path.is_file() and path.stat().st_size > MIB] == []
    assert server.most_memory - before < GROWTH


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("begin", "line"),
    [(b"name\n", b"Anna\n" * 1000), ("\ufeffname\n".encode("utf-16-le"), "Anna".encode("utf-16-le") * 500)],
)
def test_memory_stays_flat_for_a_table_as_large_as_a_file_may_be(server: Server, begin: bytes, line: bytes) -> None:
    manifest = ("manifest", None, b'{"template": {"kind": "speech", "text": "Hello {{name}}."}}')
    assert server.client.post_parts("/batches", manifest, ("rows", "a.csv", begin + line)).status in (202, 422)
    before = server.most_memory
    large = begin + line * (64 * MIB // len(line))
    assert server.client.post_parts("/batches", manifest, ("rows", "b.csv", large)).code == "rows-invalid"
    assert server.most_memory - before < GROWTH
