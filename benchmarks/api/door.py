"""How quickly the HTTP door answers while the daemon renders: `python -m benchmarks.api.door [--clients 50] [--uploads 10000]`.

Starts a daemon with a long video to make and a server before it, and prints as a table: requests for a status by many clients at
once; handing in jobs, by one client and by many at once, beside two floors by turns in one run; and the memory of the server
before and after many uploads. The floors: two new files, flushed, and their folder, without any HTTP; and the same done for each
request by an app that does nothing else, served as ours is. The clients share the processors with both, so that times are those
of a busy machine; so each is measured also with the share of the processors that systemd's unit gives a server, and while the
daemon renders nothing or stands still (`conditions.py`). The CPU time of the server does not depend on that.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import uvicorn
import yaml

from benchmarks import PORTRAIT, ROOT
from benchmarks.api.conditions import possible
from benchmarks.programs import start_program
from daemon.doors.http.connections import server_options

START_S, ANSWER_S = 120.0, 60.0
#: Names the folder of the floor's server to it.
FLOOR = "AVATAR_BENCHMARK_FLOOR"
SPEECH = {"kind": "speech", "text": "This is a sentence of the night."}
LONG = "This is a sentence of a long text that takes a while to render. " * 60


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for_port(port: int, trouble: Callable[[], str]) -> None:
    """Wait until a server listens. `trouble`: says why it may not."""
    deadline = time.monotonic() + START_S
    while True:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(trouble())
        time.sleep(0.1)


@contextmanager
def running(root: Path) -> Iterator[tuple[int, psutil.Process, psutil.Process]]:
    """Run a daemon and a server in a new folder; yields the server's port, and the processes of server and daemon."""
    for name in ("inbox", "outbox"):
        (root / name).mkdir()
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
        "intake": {"settle_s": 0.2, "voices_page": False},
        "metrics": {"enabled": False},
    }
    config = root / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    port = free_port()
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config)]
    with (root / "log").open("wb") as log:
        started = [
            start_program([*command, *rest], stdout=log, stderr=log, start_new_session=True)
            for rest in (["run"], ["server", "start", "--port", str(port)])
        ]
    try:
        wait_for_port(port, (root / "log").read_text)
        yield port, psutil.Process(started[1].pid), psutil.Process(started[0].pid)
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(ANSWER_S)
            except subprocess.TimeoutExpired:  # a long stage on a busy machine
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Client:
    """One connection that stays."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)

    def send(self, method: str, path: str, body: bytes, kind: str) -> dict[str, object]:
        """Send a request; returns the answer's JSON, {} where there is none."""
        self._connection.request(method, path, body, {"Content-Type": kind})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {data!r}")
        told: dict[str, object] = json.loads(data) if data else {}
        return told


async def ask_often(port: int, request: bytes, clients: int, seconds: float) -> list[float]:
    """Send a request by many clients at once, again and again; returns how long each answer took, in s."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
                raise RuntimeError(head.decode())
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            taken.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return taken


def get(path: str) -> bytes:
    """Return a request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post_job() -> bytes:
    """Return a request that hands in a job."""
    body = json.dumps(SPEECH).encode()
    head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def floor_app(scope: Any, receive: Any, send: Any) -> None:
    """Write the floor for each request, in a thread as the door does, and answer: an app of ASGI."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await asyncio.to_thread(write_floor, Path(os.environ[FLOOR]), secrets.token_hex(8))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def serve_floor(port: int) -> None:
    """Serve it until the process is ended."""
    uvicorn.run(floor_app, port=port, lifespan="off", **server_options())


@contextmanager
def floor_server(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Serve the floor in a process of its own, which writes into a folder; yields its port and process."""
    port = free_port()
    code = f"from benchmarks.api.door import serve_floor; serve_floor({port})"
    process = start_program([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, FLOOR: str(folder)})
    try:
        wait_for_port(port, lambda: "the floor's server does not start")
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(ANSWER_S)


def write_often(folder: Path, clients: int, seconds: float) -> list[float]:
    """Write the floor in many threads at once, again and again; returns how long each took, in s."""
    end = time.monotonic() + seconds

    def one(_: int) -> list[float]:
        taken = []
        while time.monotonic() < end:
            taken.append(timed(lambda: write_floor(folder, secrets.token_hex(8))))
        return taken

    with ThreadPoolExecutor(clients) as threads:
        return [each for some in threads.map(one, range(clients)) for each in some]


def hand_in_often(
    port: int, server: psutil.Process, daemon: psutil.Process, folder: Path, clients: int, seconds: float
) -> None:
    """Print how quickly jobs are handed in by so many clients, and the two floors, by turns of a second."""
    folder.mkdir()
    bare: list[float] = []
    rounds = max(1, round(seconds))
    with floor_server(folder) as (floor_port, floor):
        measured = [(name, make, Turns(), Turns()) for name, make in possible(daemon, [server, floor]).items()]
        for turn in range(rounds):
            begin = turn % len(measured)  # none always comes after the same one, whose jobs the daemon then has to make
            for _, make, jobs, served in measured[begin:] + measured[:begin]:
                with make(daemon, [server, floor]):
                    jobs.add(port, clients, server, daemon)
                    served.add(floor_port, clients, floor)
            bare += write_often(folder, clients, 1.0)
    many = f"{clients} clients" if clients > 1 else "one client"
    for name, _, jobs, served in measured:
        beside = f", {name}" if name else ""
        row(f"job handed in, {many}{beside}", jobs.taken, len(jobs.taken) / rounds, *jobs.cpu)
        row(f"floor behind the same server, {many}{beside}", served.taken, len(served.taken) / rounds, *served.cpu)
    row(f"floor alone, {many}", bare, len(bare) / rounds)


class Turns:
    """What requests took in turns of a second.

    Attributes:
        taken: how long each answer took, in s.
        cpu: CPU time of each process, in s.
    """

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.cpu: list[float] = []

    def add(self, port: int, clients: int, *processes: psutil.Process) -> None:
        """Send requests for a second."""
        used = [cpu_of(one) for one in processes]
        self.taken += asyncio.run(ask_often(port, post_job(), clients, 1.0))
        before = self.cpu or [0.0] * len(used)
        self.cpu = [sum_s + cpu_of(one) - old for sum_s, one, old in zip(before, processes, used, strict=True)]


def write_floor(folder: Path, stem: str) -> None:
    """Write two new files durably, as little as an accepted job with its record needs."""
    for name in (f"{stem}.record", f"{stem}.manifest"):
        with (folder / name).open("xb") as file:
            file.write(json.dumps(SPEECH).encode())
            file.flush()
            os.fsync(file.fileno())
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def timed(deed: Callable[[], object]) -> float:
    """Return how long it took, in s."""
    started = time.perf_counter()
    deed()
    return time.perf_counter() - started


def cpu_of(server: psutil.Process) -> float:
    """Return the CPU time that it has used, in s."""
    return sum(server.cpu_times()[:2])


def row(what: str, taken: list[float], rate: float, *cpu: float) -> None:
    """Print one row: how many a second, the median and the 99th percentile in ms, and CPU time of each in ms.

    Args:
        cpu: of all, in s, of the server and of the daemon without its workers, where they took part.
    """
    ordered = sorted(taken)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.99))
    each = [f"{one / len(taken) * 1000:.1f}" for one in cpu]
    print(f"| {what} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {' | '.join([*each, '', ''][:2])} |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--uploads", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with running(root) as (port, server, daemon):
            (root / "inbox" / "portrait.png").write_bytes(PORTRAIT.read_bytes())
            (root / "inbox" / "long.yaml").write_text(f"text: {LONG}\nimage: portrait.png\n")
            client = Client(port)
            job = client.send("POST", "/jobs", json.dumps(SPEECH).encode(), "application/json")["job"]
            deadline = time.monotonic() + START_S
            while not list((root / "outbox").glob("long.json")) and time.monotonic() < deadline:
                time.sleep(0.1)
            print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
            print(
                "| what | a second | p50 ms | p99 ms | CPU ms of the server | of the daemon |\n|---|---|---|---|---|---|"
            )
            used = cpu_of(server)
            taken = asyncio.run(ask_often(port, get(f"/jobs/{job}"), args.clients, args.seconds))
            row(f"status, {args.clients} clients", taken, len(taken) / args.seconds, cpu_of(server) - used)
            for clients in (1, args.clients):
                hand_in_often(port, server, daemon, root / f"floor-{clients}", clients, args.seconds)
            client = Client(port)  # the other was idle for long
            before = server.memory_info().rss
            for _ in range(args.uploads):
                kept = client.send("POST", "/uploads?filename=a.wav", b"RIFF" + os.urandom(50_000), "audio/wav")
                client.send("DELETE", f"/uploads/{kept['id']}", b"", "")
            after = server.memory_info().rss
            print(f"\nmemory: {before / 2**20:.0f} MiB, and {after / 2**20:.0f} MiB after {args.uploads} uploads")


if __name__ == "__main__":
    main()
