"""`/healthz`: what it says is what is so."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from pathlib import Path

from daemon.service import Service
from daemon.telemetry.endpoints import MetricsServer
from tests.support.daemon.intake import Room


def ask(server: MetricsServer) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


async def turn(service: Service, gate: threading.Event) -> None:
    """Let the daemon's loop turn, with a look at the inbox that does not end."""
    tasks = [asyncio.create_task(work) for work in (service.loops.scan_once(), service._record_loop_turns())]
    await asyncio.sleep(0)
    gate.set()
    for task in tasks:
        task.cancel()


def test_a_daemon_that_is_stuck_does_not_say_ok(tmp_path: Path) -> None:
    service = Room(tmp_path).service
    server = MetricsServer(service.metrics.registry, service.healthy, service.systemd.readiness)
    try:
        assert ask(server) == (200, "ok\n")
        # When the loop has not turned for long
        service._loop_ran_at -= 10_000
        code, text = ask(server)
        assert code == 503
        assert "stuck" in text
        assert not text.startswith("ok")
        # When it turns again, while a file server still keeps the look at the inbox waiting / Then it is well
        gate = threading.Event()
        service.admission.look = lambda: gate.wait() and []  # type: ignore[method-assign, assignment, return-value]
        asyncio.run(turn(service, gate))
        assert ask(server) == (200, "ok\n")
    finally:
        server.stop()
