"""Tells what the slots of the lanes are doing: as metrics, and as records for `state.json`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.workers.lane import Lane
from daemon.workers.slot import Slot

State = Literal["waits", "runs", "loads", "paused"]
STATES: tuple[State, ...] = ("waits", "runs", "loads", "paused")


def slot_state(lane: Lane, slot: Slot) -> State:
    """Return what a slot is doing. Safe to call from any thread."""
    if slot.stage is not None:
        return "runs"
    if slot.preloading_since is not None:
        return "loads"
    return "paused" if lane.pause is not None else "waits"


def gpu_slots(lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """Return a record for each slot with a GPU of its own, or elsewhere. `gpu`: its number; `device`: what people call it."""
    return [
        {
            "lane": lane.title,
            "gpu": lane.device.label,
            "uuid": lane.device.uuid,
            "remote": lane.is_remote,
            "device": str(lane.device),
            "stages": sorted(slot.stages),
            "state": slot_state(lane, slot),
            "stage": slot.stage,
            "job": slot.job.id if slot.job else None,
            "name": slot.job.name if slot.job else None,
            "loaded": sorted(slot.models.resident) if slot.worker.alive else [],
        }
        for lane in lanes
        if lane.device.label
        for slot in lane.slots
    ]


class SlotCollector(Collector):
    """Exports the states of the slots, how long they worked, and which models the GPUs hold. `gpu` is empty without a GPU."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this moment."""
        count = GaugeMetricFamily("avatar_slots", "Slots of a lane, by what they do.", labels=["lane", "gpu", "state"])
        busy = CounterMetricFamily(
            "avatar_slot_busy_seconds", "Time for which the slots of a lane had a job.", labels=["lane", "gpu"]
        )
        models = GaugeMetricFamily(
            "avatar_slot_models",
            "1 for each stage whose models the slot of a GPU holds.",
            labels=["lane", "gpu", "stage"],
        )
        now = time.monotonic()
        for lane in self._lanes:
            labels = [lane.name, lane.device.label]
            states = Counter(slot_state(lane, slot) for slot in lane.slots)
            for state in STATES:
                count.add_metric([*labels, state], states[state])
            busy.add_metric(labels, sum(slot.busy_s(now) for slot in lane.slots))
            for slot in lane.slots if lane.device.label else ():
                for stage in slot.models.resident.copy() if slot.worker.alive else ():
                    models.add_metric([*labels, stage], 1)
        return count, busy, models
