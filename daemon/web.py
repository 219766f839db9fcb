"""The daemon's figures to those who ask: `/metrics`, `/healthz` and `/readyz` on loopback, or a file where no port is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from daemon import fs
from daemon.config import Metrics as MetricsSettings
from daemon.errors import ConfigError

log = structlog.get_logger()

#: How often the file is written, in s: as often as Prometheus usually asks.
FILE_S = 15.0

#: Whether it is so, and a word for people.
Answer = Callable[[], tuple[bool, str]]


class MetricsServer:
    """Answers from threads of its own."""

    def __init__(
        self, registry: CollectorRegistry, healthy: Answer, ready: Answer, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        questions = {"/healthz": healthy, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                if path == "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept") or "")
                    self._answer(200, kind, encode(registry))
                elif path in questions:
                    yes, text = questions[path]()
                    self._answer(200 if yes else 503, "text/plain; charset=utf-8", f"{text}\n".encode())
                else:
                    self._answer(404, "text/plain", b"only /metrics, /healthz and /readyz are here\n")

            def _answer(self, code: int, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the parent's name)
                """Scrapes are no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def serve(
    settings: MetricsSettings, registry: CollectorRegistry, healthy: Answer, ready: Answer, record: Path
) -> MetricsServer | None:
    """Begin to answer, if that is wanted, and note the port in `record`.

    Raises:
        ConfigError: `metrics-port`.
    """
    if not settings.enabled:
        return None
    try:
        server = MetricsServer(registry, healthy, ready, settings.host, settings.port)
    except OSError as exc:
        raise ConfigError(
            "metrics-port",
            f"metrics.port: {settings.host}:{settings.port} cannot be used: {exc.strerror}.",
            "Choose another metrics.port, or 0 for any free one.",
        ) from exc
    fs.tell_json(record, {"host": settings.host, "port": server.port})
    return server


async def keep_file(registry: CollectorRegistry, path: Path | None) -> None:
    """Write the figures to a file again and again, for node_exporter's textfile collector. It is removed at the end, so that
    a daemon that stopped does not look alive."""
    if path is None:
        await asyncio.Event().wait()
        return
    told = False
    try:
        while True:
            try:
                await asyncio.to_thread(write_file, registry, path)
                told = False
            except OSError as exc:
                if not told:
                    log.error("metrics.textfile cannot be written", path=str(path), error=str(exc))
                told = True
            await asyncio.sleep(FILE_S)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def write_file(registry: CollectorRegistry, path: Path) -> None:
    """Put the figures into a file at once and whole, readable by everybody: another user's exporter reads it."""
    data = generate_latest(registry)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, 0o644)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
