"""Connections to the figures: half-open ones, slow ones and many of them, against the real server and a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.config.settings import Metrics
from daemon.errors import ConfigError
from daemon.system.bounded_calls import BoundedCall
from daemon.system.gpu import Card
from daemon.telemetry import collectors
from daemon.telemetry.collectors import DiskCollector, GpuCollector
from daemon.telemetry.endpoints import MetricsServer, serve_metrics
from daemon.telemetry.http_server import CONNECTIONS
from tests.conftest import PATIENCE_S, Installation, wait_for

GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n"


def connect(port: int, said: bytes = b"") -> socket.socket:
    """A connection that does not wait; what the other side does not take of `said` is not sent."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects: how much may come unread
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError, ConnectionError):
        client.send(said)
    return client


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for client in made:
        client.close()


def registry() -> CollectorRegistry:
    """Figures of about 100 kB."""
    filled = CollectorRegistry()
    gauge = Gauge("avatar_filled", "Something of the size of a scrape.", ["number"], registry=filled)
    for number in range(3000):
        gauge.labels(str(number)).set(number)
    return filled


def yes() -> tuple[bool, str]:
    return True, "ok"


@pytest.fixture
def server() -> Iterator[Callable[..., MetricsServer]]:
    made: list[MetricsServer] = []

    def make(figures: CollectorRegistry, **limits: float) -> MetricsServer:
        made.append(MetricsServer(figures, yes, yes, **limits))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


def ask(port: int, path: str, accept: str = "text/plain") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.read().decode()


def held(port: int) -> int:
    """How many connections a server of this process or another one has open on its side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Neither listening (0A) nor without an owner any more (a closed one that the kernel brings to its end).
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A" and row[9] != "0")


HALF: dict[str, tuple[bytes, bytes]] = {
    "says nothing": (b"", b""),
    "sends its headers byte by byte": (GET + b"X-Slow: ", b"a"),
    "sends its body byte by byte": (GET + b"Content-Length: 1000\r\n\r\n", b"a"),
    "asks and never reads": ((GET + b"\r\n") * 60, b""),
    "stays after its answer": (b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n", b""),
}


@pytest.mark.parametrize("kind", HALF)
def test_a_client_that_is_too_slow_is_left(
    kind: str, server: Callable[..., MetricsServer], clients: list[socket.socket]
) -> None:
    # Given a server with little patience / When a client connects and goes on like this for ever
    port = server(registry(), patience_s=0.3).port
    first, more = HALF[kind]
    clients.append(connect(port, first))
    wait_for("the connection", lambda: held(port) == 1)

    def left() -> bool:
        if more:
            with contextlib.suppress(OSError):
                clients[0].send(more)
        return held(port) == 0

    # Then the server closes the connection
    wait_for("the end of it", left)
    assert ask(port, "/healthz") == (200, "ok\n")


def test_half_open_connections_keep_nobody_out(
    server: Callable[..., MetricsServer], clients: list[socket.socket]
) -> None:
    # Given more half-open connections than the bound, of a server that would wait for them for ever
    port = server(registry(), connections=8, patience_s=10_000).port
    clients += [connect(port, GET) for _ in range(30)]
    # Then the bound holds, and who really asks is answered while they stand
    assert ask(port, "/healthz") == (200, "ok\n")
    assert held(port) <= 8
    # And those that came last are still there
    clients[-1].sendall(b"\r\n")
    clients[-1].setblocking(True)
    assert clients[-1].recv(12) == b"HTTP/1.1 200"


class Hanging(Collector):
    def __init__(self) -> None:
        self.asked, self.end = threading.Event(), threading.Event()

    def collect(self) -> Iterable[Metric]:
        self.asked.set()
        self.end.wait()
        yield GaugeMetricFamily("avatar_late", "Came at last.", 1)


def test_health_is_told_while_figures_are_gathered(server: Callable[..., MetricsServer]) -> None:
    figures, slow = CollectorRegistry(), Hanging()
    figures.register(slow)
    port = server(figures).port
    scrape = threading.Thread(target=ask, args=(port, "/metrics"))
    scrape.start()
    try:
        slow.asked.wait()
        assert ask(port, "/healthz") == (200, "ok\n")
    finally:
        slow.end.set()
        scrape.join()


def test_a_disk_or_a_driver_that_does_not_answer_keeps_no_figures_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a folder on a file server that is gone, and a driver that hangs, for which nobody waits long here
    end, asked = threading.Event(), []

    def bounded(call: Callable[[], Any]) -> BoundedCall[Any]:
        hangs = call is cards or call.args == (Path("/away"),)  # type: ignore[attr-defined]
        return BoundedCall(call, 0.02 if hangs else PATIENCE_S)

    monkeypatch.setattr(collectors, "BoundedCall", bounded)

    def usage(path: Path) -> tuple[int, int]:
        asked.append(path)
        if path == Path("/away"):
            end.wait()
        return 9, 5

    def cards() -> list[Card]:
        end.wait()
        return []

    figures = CollectorRegistry()
    figures.register(DiskCollector({"spool": Path("/here"), "outbox": Path("/away")}, usage))
    figures.register(GpuCollector(cards))
    try:
        # When the figures are asked for again and again
        for _ in range(3):
            text = generate_latest(figures).decode()
        # Then the others are right, and one thread alone waits
        assert 'avatar_disk_free_bytes{folder="spool"} 5.0\n' in text
        assert 'avatar_disk_free_bytes{folder="outbox"} 0.0\n' in text
        assert "avatar_gpu_devices 0.0\n" in text
        assert asked.count(Path("/away")) == 1
    finally:
        end.set()
    # And when it comes back it is asked anew
    wait_for("the folder", lambda: b'avatar_disk_free_bytes{folder="outbox"} 5.0\n' in generate_latest(figures))


def test_a_client_that_asks_for_a_version_that_is_none_gets_the_figures(server: Callable[..., MetricsServer]) -> None:
    code, text = ask(server(registry()).port, "/metrics", "application/openmetrics-text; version=new")
    assert code == 200
    assert "avatar_filled" in text


def test_an_address_that_cannot_be_used_is_named(server: Callable[..., MetricsServer], tmp_path: Path) -> None:
    taken = server(registry()).port
    for host, port in (("127.0.0.1", taken), ("no.such.host.invalid", 0)):
        with pytest.raises(ConfigError, match=f"{host}:{port} is not usable") as caught:
            serve_metrics(Metrics(host=host, port=port), registry(), yes, yes, tmp_path / "metrics.json")
        assert caught.value.code == "metrics-port"


def test_a_daemon_with_few_descriptors_works_beside_hundreds_of_half_open_connections(
    house: Installation, clients: list[socket.socket]
) -> None:
    # Given a daemon that may open 256 files
    assert house.process is not None
    pid = house.process.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, 256))
    port = json.loads((house.spool / "metrics.json").read_bytes())["port"]
    # When more connections than that are left half-open in every way
    kinds = [said[: 3 * len(GET)] for said, _ in HALF.values()]  # few requests: each costs the daemon all figures
    clients += [connect(port, kinds[number % len(kinds)]) for number in range(300)]
    # Then jobs are done, it is seen to be well, and its descriptors are its own
    house.drop("hello.yaml", {"kind": "speech", "text": "Hello."})
    assert house.finished("hello")["state"] == "done"
    assert ask(port, "/healthz") == (200, "ok\n")
    assert "avatar_build_info" in ask(port, "/metrics")[1]
    assert held(port) <= CONNECTIONS
    assert len(os.listdir(f"/proc/{pid}/fd")) < 128
    # And when they are gone
    for client in clients:
        client.close()
    wait_for("them to be gone", lambda: held(port) == 0)
    assert ask(port, "/readyz") == (200, "ready\n")
