"""gunicorn serves the door as `avatar server start` does: in several processes, with the bounds of its connections."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.doors.http.connections import MAX_HEADER_BYTES
from tests.conftest import ROOT, wait_for
from tests.support.http_door import PATIENCE_S
from tests.support.http_server import GUNICORN, Server
from tests.support.machine.server_process import server_process

pytestmark = pytest.mark.usefixtures("processes")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path, "--workers", "2", gunicorn=True)
    try:
        yield one
    finally:
        one.stop()


def test_several_processes_hand_in_each_job_once_and_bound_the_headers(server: Server, tmp_path: Path) -> None:
    wait_for("both processes", lambda: (tmp_path / "log").read_text().count("Application startup complete") == 2)
    jobs = [server.client.post("/jobs", {"kind": "speech", "text": "Hello.", "name": f"n{n}"}) for n in range(10)]
    assert [one.status for one in jobs] == [202] * 10
    assert len(list(server.inbox.glob("*.yaml"))) == 10
    # Headers without end are refused while they come
    with socket.create_connection(("127.0.0.1", server.client.port), timeout=PATIENCE_S) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * MAX_HEADER_BYTES)
        assert endless.recv(12) == b"HTTP/1.1 400"
    # And SIGTERM ends it
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("loaded_before", [False, True])
def test_others_cannot_use_a_server_that_asks_for_no_key(tmp_path: Path, loaded_before: bool) -> None:
    for name in ("inbox", "outbox", "spool"):
        (tmp_path / name).mkdir()
    (tmp_path / "config.yaml").write_text("paths: {inbox: inbox, outbox: outbox, spool: spool}\n")
    bind = ["--bind", "127.0.0.1:0", "--bind", "0.0.0.0:0", *(["--preload"] if loaded_before else [])]
    env = {**os.environ, "AVATAR_CONFIG": str(tmp_path / "config.yaml")}
    server = server_process([*GUNICORN, *bind], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        said = server.communicate(timeout=PATIENCE_S)[1].decode()
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
    assert server.returncode == 3
    assert re.search(r"On 0\.0\.0\.0 everybody .* there is no API key", said)
