"""Chooses the next job of each slot: takes a snapshot of the queues and slots, and asks the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daemon.config import Settings
from daemon.jobs.stages import LaneName, Stage, stages_of_lane
from daemon.queue.pauses import Pauses
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.workers.policy import Queue, SlotState, Snapshot, choose
from daemon.workers.slot import Slot
from daemon.workers.slot_models import ModelCosts

#: Stages between those of the cpu lane.
_BETWEEN = stages_of_lane("voice")
#: Lanes whose models take long to load; those of the others are small.
_WITH_MODELS: frozenset[LaneName] = frozenset({"gpu"})


class Scheduler:
    """Chooses jobs for the slots of the lanes.

    Attributes:
        slots: all slots of each lane; set once they exist.
        costs: what loading models costs, learned by the slots of the gpu lane.
    """

    def __init__(self, settings: Settings, ready_queue: ReadyQueue, pauses: Pauses) -> None:
        self._settings, self._ready_queue, self._pauses = settings, ready_queue, pauses
        self.slots: dict[LaneName, list[Slot]] = {}
        self.costs = ModelCosts()

    def next_ticket(self, lane: LaneName, slot: Slot, now: float) -> Ticket | None:
        """Return the job that a slot should start now; None where there is none, or another free slot should start it."""
        if self._pauses.active("lanes"):
            return None
        heads = heads_of(self._ready_queue, lane, now)
        choice = choose(self._look(lane, heads, slot, now)) if heads else None
        if choice is None or choice.slot != slot.name:
            return None
        return next(head for head in heads if head.id == choice.job)

    def _look(self, lane: LaneName, heads: Sequence[Ticket], asking: Slot, now: float) -> Snapshot:
        ready, limits = self._ready_queue, self._settings.lanes.gpu
        queues = [queue_of(ready, head) for head in heads]
        slots = [slot for slot in self.slots[lane] if slot is asking or slot.paused_until <= now]
        # Of equal slots the first is chosen: that which asks, so that none waits for another one's turn. But one that loads
        # models would have to give that up, so any other is better.
        loads = asking.preloading_since is not None
        slots.sort(key=lambda slot: (slot is asking) == loads)
        views = [slot.view(self._state(slot, asking, now), costs_nothing=lane not in _WITH_MODELS) for slot in slots]
        left = self._left_to_others(lane, heads, slots)
        views = [
            replace(view, stages=view.stages - left[slot.is_remote]) for slot, view in zip(slots, views, strict=True)
        ]
        ahead = sum(ready.count(stage) for stage in _BETWEEN) / max(1, len(self.slots.get("gpu", ())))
        return Snapshot(now, queues, views, self.costs.as_costs(), limits.stick_jobs, limits.stick_s, ahead)

    def _left_to_others(
        self, lane: LaneName, heads: Sequence[Ticket], slots: Sequence[Slot]
    ) -> dict[bool, frozenset[Stage]]:
        """Return the stages whose next job is not for the slots here (False) and elsewhere (True): one that cannot travel is for
        those here, and any other for those with a GPU where `lanes.gpu.devices` says that none is here.
        """
        elsewhere = frozenset(stage for slot in slots if slot.is_remote for stage in slot.stages)
        if lane != "gpu" or self._settings.lanes.gpu.devices != "none":
            elsewhere = frozenset()
        portable = frozenset(head.stage for head in heads if head.portable)
        return {False: elsewhere & portable, True: frozenset(head.stage for head in heads) - portable}

    @staticmethod
    def _state(slot: Slot, asking: Slot, now: float) -> SlotState:
        """Return the state of a slot; that which asks counts as free, also while it loads models that it would give up."""
        if slot is not asking:
            return slot.state(now)
        return "free" if slot.worker.alive and slot.preloading_since is None else "none"


def heads_of(ready: ReadyQueue, lane: LaneName, now: float) -> list[Ticket]:
    """Return the next job of each stage of a lane that has one."""
    return [head for stage in stages_of_lane(lane) if (head := ready.head(stage, now, lane)) is not None]


def queue_of(ready: ReadyQueue, head: Ticket) -> Queue:
    """Return what the policy sees of the queue whose next job is `head`."""
    since = max(head.since, ready.started(head.stage, head.lane))
    count, served_s = ready.count(head.stage, head.lane), ready.served_s(head)
    return Queue(head.stage, head.id, count, head.priority, head.accepted, since, served_s, head.cost_s)
