"""Figures that are taken when somebody asks for them: who waits and for how long, room on the disks, the GPU."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon import gpu
from daemon.board import Board
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.job import STAGES, Stage

#: Bounds of waits in s. They grow past run times: a night's batch stands for hours.
WAITS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class QueueCollector(Collector):
    """How many wait for each stage, and how long they have: a histogram built when it is asked for."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        now = time.monotonic()
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
            oldest.add_metric([stage], time.time() - max(waits) if waits else 0)
        yield from (size, age, oldest)


def _buckets(values: list[float]) -> list[tuple[str, float]]:
    return [
        *((str(float(edge)), float(sum(v <= edge for v in values))) for edge in WAITS),
        ("+Inf", float(len(values))),
    ]


class DiskCollector(Collector):
    """Room where the folders lie; 0 for one that cannot be asked."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def collect(self) -> Iterable[Metric]:
        free = GaugeMetricFamily("avatar_disk_free_bytes", "Free space where the folder lies.", labels=["folder"])
        size = GaugeMetricFamily("avatar_disk_size_bytes", "Size of the disk of the folder.", labels=["folder"])
        for name, path in self._folders.items():
            try:
                usage = shutil.disk_usage(path)
                free.add_metric([name], usage.free)
                size.add_metric([name], usage.total)
            except OSError:
                free.add_metric([name], 0)
                size.add_metric([name], 0)
        return free, size


class GpuCollector(Collector):
    """NVIDIA's cards, by NVML. A machine without one has 0 of them: a state, not an error."""

    def __init__(self, read: Callable[[], list[gpu.Card]] = gpu.read) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        cards = self._read()
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
            memory.add_metric([card.index, "used"], card.used)
            memory.add_metric([card.index, "total"], card.total)
            busy.add_metric([card.index], card.busy)
            heat.add_metric([card.index], card.celsius)
        return count, info, memory, busy, heat


class PauseCollector(Subscriber, Collector):
    """Why each lane stands still at this moment; nothing is exported for those that work."""

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
        for lane, reason in list(self._reasons.items()):
            info.add_metric([lane, reason], 1)
        return (info,)
