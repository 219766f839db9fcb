"""Serves `/metrics`, `/healthz` and `/readyz` over HTTP, and writes the metrics into a file if configured."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from tornado.web import Application, RequestHandler

from daemon.config.settings import Metrics as MetricsSettings
from daemon.errors import ConfigError
from daemon.system.disk_thread import DiskThread
from daemon.system.json_files import replace_json_best_effort
from daemon.telemetry.http_server import CONNECTIONS, PATIENCE_S, ServerThread

log = structlog.get_logger()

#: Interval at which the file is written, in s: Prometheus' usual scrape interval.
FILE_S = 15.0

#: Returns whether a condition holds, and a text for people.
Probe = Callable[[], tuple[bool, str]]


class _PlainTextHandler(RequestHandler):
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")


class _MetricsHandler(_PlainTextHandler):
    """Serves the metrics. They are rendered in one thread, so that other requests are answered meanwhile, and many scrapes do
    not slow down the daemon's loop."""

    def initialize(self, registry: CollectorRegistry, renderer: ThreadPoolExecutor) -> None:
        self._registry, self._renderer = registry, renderer

    async def get(self) -> None:
        try:
            encode, kind = choose_encoder(self.request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # it does not expect a version that is no number
            encode, kind = choose_encoder("")
        body = await asyncio.get_running_loop().run_in_executor(self._renderer, encode, self._registry)
        self.set_header("Content-Type", kind)
        self.write(body)


class _ProbeHandler(_PlainTextHandler):
    """Answers 200 or 503 with a reason. `probe` is called in the server's loop, so it must not block."""

    def initialize(self, probe: Probe) -> None:
        self._probe = probe

    def get(self) -> None:
        yes, text = self._probe()
        self.set_status(200 if yes else 503)
        self.write(f"{text}\n")


class _NotFoundHandler(_PlainTextHandler):
    def prepare(self) -> None:
        self.set_status(404)
        self.finish("only /metrics, /healthz and /readyz are here\n")


class MetricsServer:
    """Serves metrics and probes from its own threads. The limits are those of `ServerThread`.

    Args:
        healthy, ready: called from a thread other than the daemon's loop.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        healthy: Probe,
        ready: Probe,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        connections: int = CONNECTIONS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="metrics-text")
        application = Application(
            [
                ("/metrics", _MetricsHandler, {"registry": registry, "renderer": self._renderer}),
                ("/healthz", _ProbeHandler, {"probe": healthy}),
                ("/readyz", _ProbeHandler, {"probe": ready}),
            ],
            default_handler_class=_NotFoundHandler,
            log_function=lambda _: None,  # scrapes are not logged
        )
        self._server = ServerThread(application, host, port, connections=connections, patience_s=patience_s)
        self.port = self._server.port

    def stop(self) -> None:
        """Close all connections and end the threads."""
        self._server.stop()
        self._renderer.shutdown(wait=False, cancel_futures=True)


def serve_metrics(
    settings: MetricsSettings, registry: CollectorRegistry, healthy: Probe, ready: Probe, record: Path
) -> MetricsServer | None:
    """Start the server if `metrics.enabled`, and write its address into the JSON file `record`. Returns None if disabled.

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
            f"metrics.port: {settings.host}:{settings.port} is not usable: {exc.strerror}.",
            "Choose another metrics.port, or 0 for any free one.",
        ) from exc
    replace_json_best_effort(record, {"host": settings.host, "port": server.port})
    return server


async def keep_metrics_file(registry: CollectorRegistry, path: Path | None) -> None:
    """Write the metrics into a file every `FILE_S` seconds, for node_exporter's textfile collector, until cancelled. At the end
    the file is removed, so that a stopped daemon does not appear to run."""
    if path is None:
        await asyncio.Event().wait()
        return
    warned, disk = False, DiskThread("metrics file")
    try:
        while True:
            try:
                await disk.run(write_metrics_file, registry, path)
                warned = False
            except OSError as exc:
                if not warned:
                    log.error("metrics.textfile cannot be written", path=str(path), error=str(exc))
                warned = True
            await asyncio.sleep(FILE_S)
    finally:
        with contextlib.suppress(OSError):
            await disk.run(path.unlink)  # after a write that was begun


def write_metrics_file(registry: CollectorRegistry, path: Path) -> None:
    """Replace the metrics file atomically. It is readable by all users, since the exporter runs as another user."""
    data = generate_latest(registry)
    temporary = path.with_name(f".{path.name}.tmp")  # of one name, so that what a killed daemon left is overwritten
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, 0o644)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
