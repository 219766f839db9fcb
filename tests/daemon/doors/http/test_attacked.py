"""Clients that attack cost the server little, and whatever kills it, a request that is sent again is one job."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors import multiprocess

from daemon.config import Settings
from daemon.doors.http.app import create_app
from tests.conftest import ROOT, wait_for
from tests.support.at_once import at_once
from tests.support.daemon.commands import run_command
from tests.support.endurance import repeats
from tests.support.http_door import PATIENCE_S, serving
from tests.support.http_server import Server, make_folders

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(1800)]

SPEECH = {"kind": "speech", "text": "Good morning."}
MIB = 2**20
#: How much memory an attack may cost, in bytes.
GROWTH = 32 * MIB
#: A client that waits with a request of which the headers never end.
UNFINISHED = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


def bomb(side: int) -> bytes:
    """A small PNG that is very large when it is unpacked: white, side x side, one bit a pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pack = zlib.compressobj(9)
    row = b"\0" + b"\xff" * (side // 8)
    rows = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_slow_clients_floods_of_headers_and_bombs_cost_little_and_keep_nobody_out(server: Server) -> None:
    assert server.client.get("/health").status == 200
    before = server.most_memory
    # Given many clients whose headers never end
    slow = [socket.create_connection(("127.0.0.1", server.client.port)) for _ in range(150)]
    try:
        for one in slow:
            one.sendall(UNFINISHED)
        # When others send headers without end / Then they are refused
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.client.port), timeout=PATIENCE_S) as one:
                try:
                    one.sendall(UNFINISHED + b"x" * MIB)
                    said = one.recv(100)
                except OSError:
                    continue  # it was closed while it sent
                assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or not said
        # And a picture that unpacks to 200 MB is not unpacked here
        picture = bomb(40_000)
        for path in ("/validate", "/avatar/detect"):
            answer = server.client.post_parts(path, ("image", "a.png", picture))
            assert answer.status < 500, answer.body
        # And everybody else is served
        assert server.client.post("/jobs", SPEECH).status == 202
    finally:
        for one in slow:
            one.close()
    assert server.most_memory - before < GROWTH


def test_memory_stays_flat_over_many_uploads(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.client.port, timeout=PATIENCE_S)

    def upload(times: int) -> None:
        for _ in range(times):
            connection.request("POST", "/uploads?filename=a.wav", b"RIFF" + os.urandom(150_000))
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert answer.status == 201, told
            connection.request("DELETE", f"/uploads/{told['id']}")
            assert connection.getresponse().read() == b""

    upload(50)
    before = server.memory
    upload(repeats("AVATAR_UPLOADS", 100, 10_000))
    connection.close()
    assert server.memory - before < GROWTH / 4


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes behind one address."""
    one = Server(tmp_path_factory.mktemp("two"), "--workers", "2")
    yield one
    one.stop()


def test_two_processes_make_one_job_of_one_key(two: Server) -> None:
    # When many clients send the same at once
    for key in range(5):
        post = functools.partial(two.client.post, "/jobs", SPEECH, Idempotency_Key=f"key-{key}")
        answers = at_once([post] * 12)
        # Then it is one job
        assert {answer.status for answer in answers} <= {202, 409}
        assert len({answer.json["job"] for answer in answers if answer.status == 202}) == 1
        assert len(list(two.inbox.glob("*.yaml"))) == key + 1


def test_each_of_several_processes_logs_as_the_settings_say(two: Server) -> None:
    two.client.get("/health", X_Request_Id="the-one")
    log = two.inbox.parent / "log"
    line = wait_for("the log", lambda: re.search(r"^.*the-one.*\n", log.read_text(), re.MULTILINE))[0]
    assert json.loads(line)["event"] == "request"


def test_a_process_may_take_a_busy_machine_long_to_start_and_its_death_meanwhile_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocess, "Process", multiprocess.Process)
    child = SimpleNamespace(start=lambda: None)
    monkeypatch.setattr(multiprocess, "get_subprocess", lambda *_: child)

    def run(app: str, **options: Any) -> None:
        config = uvicorn.Config(app, **options)
        # A start takes two seconds of processor time, and one that takes longer than this is ended and begun anew
        assert config.timeout_worker_healthcheck >= 30
        process = multiprocess.Process(config, [])
        process.start()
        assert process.parent_conn.poll(0)  # as the child, which has the only other end, is none

    monkeypatch.setattr(uvicorn, "run", run)
    command = ("--config", str(make_folders(tmp_path)), "server", "start", "--workers", "2", "--port", "0")
    assert run_command(command, tmp_path).returncode == 0


#: Serves until the function that is named is called, and dies there: for each pair of a configuration and a name once, in a copy
#: of the process, which has imported all of it.
DIES = """
import os, pathlib, signal, sys
from daemon.config import Settings
from daemon.doors import keys
from daemon.doors.http import app, handing_in
from tests.support.http_door import serving

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def serve(config, where):
    if where == "before the manifest is in the inbox":
        begin = keys.KeyFile.begin
        keys.KeyFile.begin = lambda *args: (begin(*args), die())
    elif where == "before the key is noted":
        keys.KeyFile.finish = die
    else:
        handing_in.answer = die
    with serving(app.create_app(Settings.load(pathlib.Path(config)))) as client:
        print(client.port, flush=True)
        sys.stdin.read()

for config, where in zip(sys.argv[1::2], sys.argv[2::2]):
    if (copy := os.fork()) == 0:
        serve(config, where)
        os._exit(0)
    print(os.WTERMSIG(os.waitpid(copy, 0)[1]), flush=True)
"""
WHERE = ("before the manifest is in the inbox", "before the key is noted", "before the answer is sent")


def test_a_request_that_is_sent_again_after_the_server_was_killed_is_one_job(tmp_path: Path) -> None:
    houses = {where: tmp_path / str(number) for number, where in enumerate(WHERE)}
    for house in houses.values():
        house.mkdir()
    configs = {where: make_folders(house) for where, house in houses.items()}
    command = [sys.executable, "-c", DIES, *(word for where, config in configs.items() for word in (config, where))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for where in WHERE:
            # Given a server that is killed while a job is handed in
            port = int(process.stdout.readline())
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            headers = {"Content-Type": "application/json", "Idempotency-Key": "one"}
            connection.request("POST", "/jobs", json.dumps(SPEECH), headers)
            with pytest.raises((http.client.HTTPException, OSError)):
                connection.getresponse()
            assert int(process.stdout.readline()) == signal.SIGKILL, where
    for where in WHERE:
        # When the client sends it again to the next one, twice
        with serving(create_app(Settings.load(configs[where]))) as client:
            first, second = (client.post("/jobs", SPEECH, Idempotency_Key="one") for _ in range(2))
        # Then it is one job, in the inbox
        assert (first.status, second.status) == (202, 202), (where, first.body)
        assert first.json["job"] == second.json["job"], where
        assert len(list((houses[where] / "inbox").glob("*.yaml"))) == 1, where
