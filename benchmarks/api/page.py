"""How quickly the page comes: `python -m benchmarks.api.page [--jobs 10000] [--pages 50] [--seconds 30]`.

Prints as a table: bytes of the first load of New, as they are and compressed by a proxy (gzip -6); the time of the list of jobs,
with so many jobs in the index, and with a search; and the CPU time that the server takes for so many open lists, each with its
stream, while a daemon renders a long video.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import socket
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urljoin

from benchmarks import PORTRAIT
from benchmarks.api.door import LONG, running
from benchmarks.queue.history import SYLLABLES, fill, words
from daemon.config import Settings
from tests.support.http_door import Caller
from tests.support.http_server import Server

ROUNDS = 100


def first_load(client: Caller, path: str) -> None:
    """Print the bytes of a page and of what it names."""
    page = client.get(path).body
    names = re.findall(r'<(?:script src|link rel="(?:icon|stylesheet)" href)="([^"]+)"', page.decode())
    parts = [page, *(client.get(urljoin(path, name)).body for name in names)]
    plain, packed = sum(map(len, parts)), sum(len(gzip.compress(part, 6)) for part in parts)
    print(f"| first load of {path}: requests, bytes, compressed | {len(parts)} | {plain} | {packed} |")


def list_of_jobs(root: Path, jobs: int) -> None:
    """Print how long the list of so many jobs takes."""
    server = Server(root)
    try:
        settings = Settings.load(root / "config.yaml")
        settings.paths.history.mkdir(parents=True, exist_ok=True)
        chance = random.Random(7)
        vocabulary = ["".join(chance.choices(SYLLABLES.split(), k=3)) for _ in range(2000)]
        fill(settings.paths.history, jobs, chance, vocabulary)
        first_load(server.client, "/ui/")
        for name, path in (
            ("all", "/ui/jobs"),
            ("failed", "/ui/jobs?tab=failed"),
            ("search", f"/ui/jobs?q={words(chance, 1, vocabulary)}"),
            ("by name", "/ui/jobs?sort=name"),
            ("by time, search", f"/ui/jobs?sort=-time&q={words(chance, 1, vocabulary)}"),
            ("waiting", "/ui/jobs?tab=waiting"),
        ):
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                assert server.client.get(path).status == 200
                took.append(1000 * (time.perf_counter() - began))
            middle, highest = statistics.median(took), max(took)
            print(f"| list of {jobs} jobs, {name}: median, highest | {middle:.0f} ms | {highest:.0f} ms |")
    finally:
        server.stop()


def open_pages(root: Path, pages: int, seconds: float) -> None:
    """Print the CPU time of the server for so many open lists while the daemon renders."""
    with running(root) as (port, server, _):
        client = Caller(port)
        answer = client.post_parts("/jobs", ("image", "p.png", PORTRAIT.read_bytes()), ("text", None, LONG.encode()))
        assert answer.status == 202, answer.body
        while json.loads(client.get(f"/jobs/{answer.json['job']}").body)["state"] != "running":
            time.sleep(0.2)
        streams = []
        for _ in range(pages):
            one = socket.create_connection(("127.0.0.1", port))
            one.sendall(b"GET /ui/jobs/live?tab=all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert one.recv(15).startswith(b"HTTP/1.1 200")
            streams.append(one)
        time.sleep(5)
        before = sum(server.cpu_times()[:2])
        time.sleep(seconds)
        taken = sum(server.cpu_times()[:2]) - before
        print(f"| {pages} open lists while a video is made: CPU | {100 * taken / seconds:.0f} % of one processor |")
        for one in streams:
            one.close()
        client.send("DELETE", f"/jobs/{answer.json['job']}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        list_of_jobs(Path(folder), options.jobs)
    with tempfile.TemporaryDirectory() as folder:
        open_pages(Path(folder), options.pages, options.seconds)


if __name__ == "__main__":
    main()
