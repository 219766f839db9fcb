"""Prometheus metrics and the health page. Fed by job events; queue figures are taken from the board when they are asked for."""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.board import Board
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.job import STAGES, Job, Stage
from daemon.pauses import SCOPES, Pause, Scope

#: A stage takes from a tenth of a second to an hour.
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
#: Waits grow past run times: a night's batch stands for hours.
WAITS = (*SECONDS, 7200, 14400, 43200, 86400)
FACTORS = (0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.5, 2, 5, 10, 20)
RESULTS = ("done", "failed", "retried", "crashed", "timeout", "paused", "cancelled", "returned")
LANES = ("gpu", "cpu", "intake", "spool")


class Metrics(Subscriber):
    """The counters. Every label set that can occur is there from the start, at zero."""

    def __init__(self, board: Board, folders: dict[str, Path]) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.accepted = Counter("avatar_jobs_accepted", "Jobs taken into the spool.", registry=registry)
        self.finished = Counter(
            "avatar_jobs_finished", "Jobs that came to an end, by result.", ["result"], registry=registry
        )
        self.rejected = Counter(
            "avatar_jobs_rejected",
            "Manifests that were refused when taken in, by reason.",
            ["reason"],
            registry=registry,
        )
        self.recovered = Counter("avatar_jobs_recovered", "Jobs found interrupted at start.", registry=registry)
        self.latency = Histogram(
            "avatar_job_latency_seconds", "From acceptance to the result.", buckets=WAITS, registry=registry
        )
        self.started = Counter("avatar_stage_started", "Attempts begun.", ["stage"], registry=registry)
        self.ended = Counter("avatar_stage_ended", "Attempts ended, by result.", ["stage", "result"], registry=registry)
        self.running = Gauge("avatar_stage_in_progress", "Attempts under way.", ["stage"], registry=registry)
        self.duration = Histogram(
            "avatar_stage_duration_seconds",
            "Run time of finished attempts.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.wait = Histogram(
            "avatar_stage_wait_seconds", "Time in the queue.", ["stage"], buckets=WAITS, registry=registry
        )
        self.success = Gauge(
            "avatar_stage_last_success_timestamp_seconds",
            "When it last succeeded; 0: never.",
            ["stage"],
            registry=registry,
        )
        self.paused = Gauge(
            "avatar_lane_paused",
            "1 while the lane stands still because of a fault of the machine.",
            ["lane"],
            registry=registry,
        )
        self.pauses = Counter(
            "avatar_lane_pauses", "Pauses of a lane, by reason.", ["lane", "reason"], registry=registry
        )
        self.ordered = Gauge(
            "avatar_queue_paused_timestamp_seconds",
            "Since when people have stopped the lanes or the intake; 0: not.",
            ["scope"],
            registry=registry,
        )
        self.models = Counter("avatar_model_loads", "Models loaded by a worker.", ["stage"], registry=registry)
        self.load_s = Histogram(
            "avatar_model_load_seconds", "Time to load a model.", ["stage"], buckets=SECONDS, registry=registry
        )
        self.deaths = Counter(
            "avatar_worker_deaths", "Workers that ended in the middle of a job.", ["lane"], registry=registry
        )
        self.factor = Histogram(
            "avatar_realtime_factor", "Work of all stages per second of speech.", buckets=FACTORS, registry=registry
        )
        self.audio = Counter("avatar_audio_seconds", "Speech delivered.", registry=registry)
        self.frames = Counter("avatar_video_frames", "Frames delivered.", registry=registry)
        self.scans = Histogram(
            "avatar_inbox_scan_seconds", "Time of a look at the inbox.", buckets=SECONDS, registry=registry
        )
        self.found = Gauge("avatar_inbox_manifests", "Manifests in the inbox at the last look.", registry=registry)
        Gauge("avatar_start_time_seconds", "When this daemon started.", registry=registry).set(time.time())
        Gauge("avatar_build_info", "Always 1.", ["version", "python"], registry=registry).labels(
            __version__, platform.python_version()
        ).set(1)
        self._zero()
        self.registry.register(_QueueCollector(board))
        self.registry.register(_DiskCollector(folders))

    def _zero(self) -> None:
        for state in ("done", "failed", "cancelled"):
            self.finished.labels(state)
        for stage in STAGES:
            for family in (
                self.started,
                self.running,
                self.duration,
                self.wait,
                self.success,
                self.models,
                self.load_s,
            ):
                family.labels(stage)
            for result in RESULTS:
                self.ended.labels(stage, result)
        for lane in LANES:
            self.paused.labels(lane)
        for scope in SCOPES:
            self.ordered.labels(scope)
        for lane in ("gpu", "cpu"):
            self.deaths.labels(lane)

    def job_accepted(self, job: Job) -> None:
        self.accepted.inc()
        if job.state == "failed" and job.error:
            self.rejected.labels(job.error["code"]).inc()

    def job_recovered(self, job: Job) -> None:
        self.recovered.inc()

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self.started.labels(stage).inc()
        self.running.labels(stage).inc()
        self.wait.labels(stage).observe(wait_s, {"job_id": job.id})

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        self.running.labels(stage).dec()
        self.ended.labels(stage, result).inc()
        if result == "done":
            self.duration.labels(stage).observe(seconds, {"job_id": job.id})
            self.success.labels(stage).set_to_current_time()

    def job_finished(self, job: Job) -> None:
        self.finished.labels(job.state).inc()
        if job.state == "done":
            self.latency.observe(time.time() - job.accepted, {"job_id": job.id})
            self.frames.inc(int(job.facts.get("encode", {}).get("frames", 0)))
            if job.audio_s:
                self.audio.inc(job.audio_s)
                self.factor.observe(sum(t["run"] for t in job.timings.values()) / job.audio_s, {"job_id": job.id})

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self.paused.labels(lane).set(1)
        self.pauses.labels(lane, error.code).inc()

    def lane_resumed(self, lane: str) -> None:
        self.paused.labels(lane).set(0)

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        self.ordered.labels(scope).set(pause.since)

    def queue_resumed(self, scope: Scope) -> None:
        self.ordered.labels(scope).set(0)

    def model_loaded(self, stage: str, model: str, seconds: float) -> None:
        self.models.labels(stage).inc()
        self.load_s.labels(stage).observe(seconds)

    def child_died(self, lane: str, reason: str) -> None:
        self.deaths.labels(lane).inc()

    def scanned(self, seconds: float, found: int) -> None:
        self.scans.observe(seconds)
        self.found.set(found)


class _QueueCollector(Collector):
    """How many wait for each stage, and how long they have: a histogram built when it is asked for."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        now = time.time()
        ages: dict[Stage, list[float]] = {stage: [] for stage in STAGES}
        for ticket in self._board.tickets():
            ages[ticket.stage].append(max(0.0, now - ticket.since))
        size = GaugeMetricFamily("avatar_queue_jobs", "Jobs waiting for a stage.", labels=["stage"])
        age = HistogramMetricFamily(
            "avatar_queue_age_seconds", "How long the waiting jobs have stood in their queue.", labels=["stage"]
        )
        oldest = GaugeMetricFamily(
            "avatar_queue_oldest_timestamp_seconds",
            "When the longest waiting job came; 0: none waits.",
            labels=["stage"],
        )
        for stage, waits in ages.items():
            size.add_metric([stage], len(waits))
            age.add_metric([stage], _buckets(waits), sum(waits))
            oldest.add_metric([stage], now - max(waits) if waits else 0)
        yield size
        yield age
        yield oldest


def _buckets(values: list[float]) -> list[tuple[str, float]]:
    return [
        *((str(float(edge)), float(sum(v <= edge for v in values))) for edge in WAITS),
        ("+Inf", float(len(values))),
    ]


class _DiskCollector(Collector):
    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def collect(self) -> Iterable[Metric]:
        free = GaugeMetricFamily("avatar_disk_free_bytes", "Free space where the folder lies.", labels=["folder"])
        for name, path in self._folders.items():
            try:
                free.add_metric([name], shutil.disk_usage(path).free)
            except OSError:
                free.add_metric([name], 0)
        yield free


class MetricsServer:
    """`/metrics` and `/healthz` on loopback, from threads of their own."""

    def __init__(
        self, registry: CollectorRegistry, healthy: Callable[[], tuple[bool, str]], host: str, port: int
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.split("?")[0] == "/metrics":
                    encode, kind = choose_encoder(self.headers.get("Accept") or "")
                    self._answer(200, kind, encode(registry))
                elif self.path == "/healthz":
                    well, text = healthy()
                    self._answer(200 if well else 503, "text/plain; charset=utf-8", f"{text}\n".encode())
                else:
                    self._answer(404, "text/plain", b"only /metrics and /healthz are here\n")

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
