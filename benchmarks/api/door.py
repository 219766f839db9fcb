"""How quickly the HTTP door answers while the daemon renders: `python -m benchmarks.api.door [--clients 50] [--uploads 10000]`.

Starts a daemon with a long video to make and a server before it, and prints as a table: requests for a status by many clients at
once; handing in a job beside a bare floor (two new files, flushed, and their folder), by turns in one run; and the memory of the
server before and after many uploads. The clients share the processors with both, so that times are those of a busy machine; the
CPU time of the server does not depend on that.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from benchmarks import PORTRAIT

START_S, ANSWER_S = 120.0, 60.0
SPEECH = {"kind": "speech", "text": "This is a sentence of the night."}
LONG = "This is a sentence of a long text that takes a while to render. " * 60


@contextmanager
def running(root: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run a daemon and a server in a new folder; yields the server's port and process."""
    for name in ("inbox", "outbox"):
        (root / name).mkdir()
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
        "intake": {"settle_s": 0.2, "voices_page": False},
        "metrics": {"enabled": False},
    }
    config = root / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config)]
    with (root / "log").open("wb") as log:
        started = [
            subprocess.Popen([*command, *rest], stdout=log, stderr=log, start_new_session=True)
            for rest in (["run"], ["server", "start", "--port", str(port)])
        ]
    try:
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline:
                raise TimeoutError((root / "log").read_text())
            time.sleep(0.1)
        yield port, psutil.Process(started[1].pid)
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


async def ask_often(port: int, path: str, clients: int, seconds: float) -> list[float]:
    """Ask for a path by many clients at once; returns how long each answer took, in s."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            taken.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return taken


def write_floor(folder: Path, number: int) -> None:
    """Write two new files durably, as little as an accepted job with its record needs."""
    for name in (f"{number}.record", f"{number}.manifest"):
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


def row(what: str, taken: list[float], rate: float, cpu: float | None = None) -> None:
    """Print one row: how many a second, the median and the 99th percentile in ms, and CPU time of each. `cpu`: of all, in s."""
    ordered = sorted(taken)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.99))
    each = "" if cpu is None else f"{cpu / len(taken) * 1000:.1f}"
    print(f"| {what} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {each} |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--uploads", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with running(root) as (port, server):
            (root / "inbox" / "portrait.png").write_bytes(PORTRAIT.read_bytes())
            (root / "inbox" / "long.yaml").write_text(f"text: {LONG}\nimage: portrait.png\n")
            client = Client(port)
            job = client.send("POST", "/jobs", json.dumps(SPEECH).encode(), "application/json")["job"]
            deadline = time.monotonic() + START_S
            while not list((root / "outbox").glob("long.json")) and time.monotonic() < deadline:
                time.sleep(0.1)
            print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
            print("| what | a second | p50 ms | p99 ms | CPU ms of the server |\n|---|---|---|---|---|")
            used = cpu_of(server)
            taken = asyncio.run(ask_often(port, f"/jobs/{job}", args.clients, args.seconds))
            row(f"status, {args.clients} clients", taken, len(taken) / args.seconds, cpu_of(server) - used)
            used = cpu_of(server)
            floor_folder = root / "floor"
            floor_folder.mkdir()
            floor, given = [], []
            data = json.dumps(SPEECH).encode()
            for number in range(args.jobs):
                floor.append(timed(lambda number=number: write_floor(floor_folder, number)))  # type: ignore[misc]
                given.append(timed(lambda: client.send("POST", "/jobs", data, "application/json")))
            row("job handed in, one client", given, len(given) / sum(given), cpu_of(server) - used)
            row("floor: two files, flushed, and their folder", floor, len(floor) / sum(floor))
            before = server.memory_info().rss
            for _ in range(args.uploads):
                kept = client.send("POST", "/uploads?filename=a.wav", b"RIFF" + os.urandom(50_000), "audio/wav")
                client.send("DELETE", f"/uploads/{kept['id']}", b"", "")
            after = server.memory_info().rss
            print(f"\nmemory: {before / 2**20:.0f} MiB, and {after / 2**20:.0f} MiB after {args.uploads} uploads")


if __name__ == "__main__":
    main()
