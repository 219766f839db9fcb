"""The daemon's figures to those who ask: `/metrics`, `/healthz` and `/readyz` on loopback, or a file where no port is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from tornado.web import Application, RequestHandler

from daemon.config.settings import Metrics as MetricsSettings
from daemon.errors import ConfigError
from daemon.system import fs
from daemon.telemetry.http_server import CONNECTIONS, PATIENCE_S, ServerThread

log = structlog.get_logger()

#: How often the file is written, in s: as often as Prometheus usually asks.
FILE_S = 15.0

#: Whether it is so, and a word for people.
Probe = Callable[[], tuple[bool, str]]


class _PlainTextHandler(RequestHandler):
    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")


class _MetricsHandler(_PlainTextHandler):
    """The figures, made in the one thread of `renderer`: others are answered meanwhile, and the daemon's loop keeps its share of
    the processor however many ask."""

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
    """200 or 503, and why. `probe` is called in the server's own loop, so it must not wait for anything."""

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
    """Answers from threads of its own. The limits are those of `ServerThread`.

    Args:
        healthy, ready: called from another thread than the daemon's loop.
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
            log_function=lambda _: None,  # scrapes are no news
        )
        self._server = ServerThread(application, host, port, connections=connections, patience_s=patience_s)
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()
        self._renderer.shutdown(wait=False, cancel_futures=True)


def serve_metrics(
    settings: MetricsSettings, registry: CollectorRegistry, healthy: Probe, ready: Probe, record: Path
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
    fs.replace_json_best_effort(record, {"host": settings.host, "port": server.port})
    return server


async def keep_metrics_file(registry: CollectorRegistry, path: Path | None) -> None:
    """Write the figures to a file again and again, for node_exporter's textfile collector. It is removed at the end, so that
    a daemon that stopped does not look alive."""
    if path is None:
        await asyncio.Event().wait()
        return
    warned = False
    try:
        while True:
            try:
                await asyncio.to_thread(write_metrics_file, registry, path)
                warned = False
            except OSError as exc:
                if not warned:
                    log.error("metrics.textfile cannot be written", path=str(path), error=str(exc))
                warned = True
            await asyncio.sleep(FILE_S)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def write_metrics_file(registry: CollectorRegistry, path: Path) -> None:
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
