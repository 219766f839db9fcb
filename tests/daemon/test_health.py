"""`/healthz`: what it says is what is so."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from daemon.web import MetricsServer
from tests.daemon.room import Room


def ask(server: MetricsServer) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_a_daemon_that_is_stuck_does_not_say_ok(tmp_path: Path) -> None:
    service = Room(tmp_path).service
    server = MetricsServer(service.metrics.registry, service.healthy, service.overseer.claims)
    try:
        assert ask(server) == (200, "ok\n")
        # When the inbox has not been looked at for long
        service._beat -= 10_000
        code, text = ask(server)
        assert code == 503
        assert "stuck" in text
        assert not text.startswith("ok")
    finally:
        server.stop()
