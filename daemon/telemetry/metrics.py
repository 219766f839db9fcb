"""Counts job events as Prometheus metrics. Metrics computed at scrapes are in `collectors`; `endpoints` serves them."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES, Stage
from daemon.queue.pauses import SCOPES, Pause, Scope
from daemon.queue.ready_queue import ReadyQueue
from daemon.telemetry.collectors import WAITS, DiskCollector, GpuCollector, PauseCollector, QueueCollector
from daemon.wire import ModelChange

disable_created_metrics()  # type: ignore[no-untyped-call]  # an unused second series for each counter

#: Histogram bounds of run times, in s: a stage takes from a tenth of a second to an hour.
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
FACTORS = (0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.5, 2, 5, 10, 20)
RESULTS = ("done", "failed", "retried", "crashed", "timeout", "paused", "cancelled", "returned")
LANES = ("gpu", "voice", "cpu", "intake", "spool")
FAULTS = ("job", "machine", "unknown", "quarantined")
DEATHS = ("worker-crashed", "worker-hung", "worker-memory", "stage-timeout")
#: Reasons for refusing manifests and pausing lanes that are exported from the start, at zero. Rarer ones appear when they occur.
REJECTIONS = (
    "manifest-unknown-key", "manifest-invalid", "manifest-empty", "manifest-not-text", "manifest-too-large",
    "yaml-invalid", "file-missing", "file-is-link", "file-outside", "file-too-large", "file-unreadable", "file-changing",
    "no-room", "text-too-long",
)  # fmt: skip
_WORK = ("disk-full", "io-error", "out-of-memory", "gpu-lost", "model-missing", "worker-broken")
PAUSES = {
    "gpu": _WORK,
    "voice": _WORK,
    "cpu": (*_WORK, "outbox-unusable"),
    "intake": (
        "disk-full",
        "disk-reserve",
        "io-error",
        "inbox-missing",
        "inbox-stuck",
        "claims-foreign",
        "claims-unusable",
    ),
    "spool": ("disk-full", "io-error", "outbox-unusable"),
}


class _BeforeOthers(Collector):
    """Calls a function when metrics are first asked for. The registry collects in the order of registration."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepare = prepare

    def collect(self) -> Iterable[Metric]:
        self._prepare()
        self._prepare = _nothing
        return ()


def _nothing() -> None:
    """All is prepared."""


class Metrics(Subscriber):
    """Counts job events. Expected label sets are exported from the start, at zero.

    Args:
        folders: name → folder whose disk space is exported.
    """

    def __init__(self, ready_queue: ReadyQueue, folders: dict[str, Path]) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        registry.register(_BeforeOthers(self._create_label_sets))
        self.accepted = Counter("avatar_jobs_accepted", "Jobs taken into the spool.", registry=registry)
        self.finished = Counter(
            "avatar_jobs_finished", "Jobs that came to an end, by result.", ["result"], registry=registry
        )
        self.failed = Counter("avatar_jobs_failed", "Failed jobs, by whose fault it was.", ["fault"], registry=registry)
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
        self.model_memory = Gauge(
            "avatar_model_memory_bytes",
            "Memory that a worker held before and after it last loaded or unloaded a model.",
            ["stage", "change", "memory", "when"],
            registry=registry,
        )
        self.load_s = Histogram(
            "avatar_model_load_seconds", "Time to load a model.", ["stage"], buckets=SECONDS, registry=registry
        )
        self.deaths = Counter(
            "avatar_worker_deaths",
            "Workers that ended in the middle of a job.",
            ["lane", "reason"],
            registry=registry,
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
        self.scanned_at = Gauge(
            "avatar_inbox_last_scan_timestamp_seconds",
            "When the inbox was last read from end to end.",
            registry=registry,
        )
        self.unwatched = Gauge(
            "avatar_inbox_unwatched_folders",
            "Folders in which the kernel announces no changes, since a limit of inotify is reached.",
            registry=registry,
        )
        self.turns = Counter(
            "avatar_loop_turns", "How often the daemon's loop was seen to turn, twice a second.", registry=registry
        )
        self.stall = Gauge(
            "avatar_loop_longest_stall_seconds",
            "The longest time since the start for which the daemon's loop stood still.",
            registry=registry,
        )
        self._longest_stall_s = 0.0
        self.reloaded = Gauge(
            "avatar_config_last_reload_successful", "1 if the last reading of config.yaml was good.", registry=registry
        )
        self.reloaded_at = Gauge(
            "avatar_config_last_reload_success_timestamp_seconds",
            "When config.yaml was last read and good.",
            registry=registry,
        )
        Gauge("avatar_start_time_seconds", "When this daemon started.", registry=registry).set(time.time())
        Gauge("avatar_build_info", "Always 1.", ["version", "python"], registry=registry).labels(
            __version__, platform.python_version()
        ).set(1)
        self.config_read(None, [], [])
        self.pauses_now = PauseCollector()
        for collector in (QueueCollector(ready_queue), DiskCollector(folders), GpuCollector(), self.pauses_now):
            self.registry.register(collector)
        ProcessCollector(registry=registry)

    def _create_label_sets(self) -> None:
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
        for fault in FAULTS:
            self.failed.labels(fault)
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        for lane, reasons in PAUSES.items():
            for reason in reasons:
                self.pauses.labels(lane, reason)
        for lane in ("gpu", "voice", "cpu"):
            for reason in DEATHS:
                self.deaths.labels(lane, reason)

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
        if job.state == "failed" and job.error:
            quarantined = job.error["code"] == "quarantined"
            self.failed.labels("quarantined" if quarantined else job.error["fault"]).inc()
        if job.state == "done":
            self.latency.observe(time.time() - job.accepted, {"job_id": job.id})
            self.frames.inc(int(job.facts.of("encode").get("frames", 0)))
            if job.audio_s:
                self.audio.inc(job.audio_s)
                self.factor.observe(sum(t["run"] for t in job.timings.values()) / job.audio_s, {"job_id": job.id})

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self.paused.labels(lane).set(1)
        self.pauses.labels(lane, error.code).inc()
        self.pauses_now.lane_paused(lane, error, delay_s)

    def lane_resumed(self, lane: str) -> None:
        self.paused.labels(lane).set(0)
        self.pauses_now.lane_resumed(lane)

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        self.ordered.labels(scope).set(pause.since)

    def queue_resumed(self, scope: Scope) -> None:
        self.ordered.labels(scope).set(0)

    def model_changed(self, change: ModelChange) -> None:
        if change.change == "loaded":
            self.models.labels(change.stage).inc()
            self.load_s.labels(change.stage).observe(change.seconds)
        for memory, when, value in (
            ("ram", "before", change.ram_before),
            ("ram", "after", change.ram_after),
            ("gpu", "before", change.gpu_before),
            ("gpu", "after", change.gpu_after),
        ):
            if value is not None:
                self.model_memory.labels(change.stage, change.change, memory, when).set(value)

    def worker_died(self, lane: str, reason: str) -> None:
        self.deaths.labels(lane, reason).inc()

    def scanned(self, seconds: float, found: int) -> None:
        self.scans.observe(seconds)
        self.found.set(found)
        self.scanned_at.set_to_current_time()

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        self.unwatched.set(folders)

    def loop_turned(self, late_s: float) -> None:
        """Record a turn of the daemon's loop, which came `late_s` seconds late."""
        self.turns.inc()
        if late_s > self._longest_stall_s:
            self._longest_stall_s = late_s
            self.stall.set(late_s)

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        self.reloaded.set(0 if error else 1)
        if not error:
            self.reloaded_at.set_to_current_time()
