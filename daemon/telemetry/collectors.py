"""Collects metrics when they are scraped: waiting jobs and their age, disk space, GPU state."""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.stages import STAGES, Stage
from daemon.outbox.estimates.estimate_errors import EstimateErrors
from daemon.queue.ready_queue import ReadyQueue
from daemon.system import gpu
from daemon.system.bounded_calls import BoundedCall

#: Histogram bounds of waits, in s; longer than run times, as a large batch waits for hours.
WAITS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class QueueCollector(Collector):
    """Exports the number of jobs that wait for each stage, and a histogram of their ages, computed at each scrape."""

    def __init__(self, ready_queue: ReadyQueue) -> None:
        self._ready_queue = ready_queue

    def collect(self) -> Iterator[Metric]:
        now = time.monotonic()
        ages: dict[Stage, list[float]] = {stage: [] for stage in STAGES}
        for ticket in self._ready_queue.tickets():
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
            age.add_metric([stage], _cumulative_counts(waits), sum(waits))
            oldest.add_metric([stage], time.time() - max(waits) if waits else 0)
        yield from (size, age, oldest)


def _cumulative_counts(values: list[float]) -> list[tuple[str, float]]:
    return [
        *((str(float(edge)), float(sum(v <= edge for v in values))) for edge in WAITS),
        ("+Inf", float(len(values))),
    ]


#: Returns total and free bytes of the filesystem of a path.
Usage = Callable[[Path], tuple[int, int]]


def disk_usage(path: Path) -> tuple[int, int]:
    """Return total and free bytes of the filesystem of a path."""
    seen = shutil.disk_usage(path)
    return seen.total, seen.free


class DiskCollector(Collector):
    """Exports free and total disk space of folders; 0 for a folder that does not respond, such as on a lost file server."""

    def __init__(self, folders: dict[str, Path], read: Usage = disk_usage) -> None:
        self._folders = {name: BoundedCall(functools.partial(read, path)) for name, path in folders.items()}

    def collect(self) -> Iterable[Metric]:
        free = GaugeMetricFamily("avatar_disk_free_bytes", "Free space where the folder lies.", labels=["folder"])
        size = GaugeMetricFamily("avatar_disk_size_bytes", "Size of the disk of the folder.", labels=["folder"])
        for name, folder in self._folders.items():
            bytes_in_all = bytes_free = 0
            with contextlib.suppress(OSError):  # a TimeoutError is one too
                bytes_in_all, bytes_free = folder.ask()
            free.add_metric([name], bytes_free)
            size.add_metric([name], bytes_in_all)
        return free, size


class GpuCollector(Collector):
    """Exports the state of NVIDIA GPUs. Without a GPU, or if the driver does not respond, it exports 0 devices.

    A driver without persistence mode takes 1 to 3 s for each GPU that nobody has open: what it answers too late for one scrape is
    exported at the next one.
    """

    def __init__(self, read: Callable[[], list[gpu.Card]] = gpu.read_cards) -> None:
        self._cards = BoundedCall(read)

    def collect(self) -> Iterable[Metric]:
        cards: list[gpu.Card] = []
        with contextlib.suppress(TimeoutError):
            cards = self._cards.ask_or_late()
        count = GaugeMetricFamily("avatar_gpu_devices", "GPUs that answer.")
        count.add_metric([], len(cards))
        info = GaugeMetricFamily("avatar_gpu_info", "Always 1.", labels=["gpu", "uuid", "name"])
        memory = GaugeMetricFamily(
            "avatar_gpu_memory_bytes", "GPU memory, of all programs together.", labels=["gpu", "kind"]
        )
        busy = GaugeMetricFamily(
            "avatar_gpu_utilization_ratio", "Part of the last moment in which the GPU worked.", labels=["gpu"]
        )
        heat = GaugeMetricFamily("avatar_gpu_temperature_celsius", "Temperature of the GPU.", labels=["gpu"])
        for card in cards:
            info.add_metric([card.index, card.uuid, card.name], 1)
            for kind, value in (("used", card.used), ("total", card.total)):
                if value is not None:
                    memory.add_metric([card.index, kind], value)
            busy.add_metric([card.index], card.busy)
            heat.add_metric([card.index], card.celsius)
        return count, info, memory, busy, heat


class EstimateCollector(Collector):
    """Exports how wrong the expected ends of the last jobs were; nothing before the first one has ended."""

    def __init__(self, errors: EstimateErrors) -> None:
        self._errors = errors

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily(
            "avatar_eta_jobs", "Jobs, of the last 100, whose expected end was compared with their end."
        )
        jobs.add_metric([], len(self._errors))
        seconds = GaugeMetricFamily(
            "avatar_eta_error_seconds", "Median of how early or late those jobs were done, against their first `eta_s`."
        )
        ratio = GaugeMetricFamily("avatar_eta_error_ratio", "The same, as a part of the time that each job took.")
        for family, value in ((seconds, self._errors.median_s()), (ratio, self._errors.median_ratio())):
            if value is not None:
                family.add_metric([], value)
        return jobs, seconds, ratio


class PauseCollector(Subscriber, Collector):
    """Exports the reason of each paused lane; nothing for lanes that run."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self._reasons[lane] = error.code

    def lane_resumed(self, lane: str) -> None:
        self._reasons.pop(lane, None)

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "avatar_lane_pause_info", "1 for the reason why a lane stands still.", labels=["lane", "reason"]
        )
        for lane, reason in self._reasons.copy().items():  # copied, since the daemon's loop may change it meanwhile
            info.add_metric([lane, reason], 1)
        return (info,)
