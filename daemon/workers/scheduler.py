"""Chooses the next job of each lane: takes a snapshot of the queues and asks the policy."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config import Settings
from daemon.jobs.stages import BY_NAME, LaneName, Stage, stages_of_lane
from daemon.queue.pauses import Pauses
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.workers.policy import Waiting, choose_cpu, choose_first, choose_gpu
from daemon.workers.slot import Slot

#: Stages between those of the cpu lane.
_BETWEEN = stages_of_lane("voice")


class Scheduler:
    """Chooses jobs for the lanes. `cpu_slots`: the slots of the cpu lane, set once it exists."""

    def __init__(self, settings: Settings, ready_queue: ReadyQueue, pauses: Pauses) -> None:
        self._settings, self._ready_queue, self._pauses = settings, ready_queue, pauses
        self.cpu_slots: Sequence[Slot] = ()

    def gpu(self, slot: Slot, now: float) -> Ticket | None:
        """Return the next job of the gpu lane, or None: it prefers the stage of the loaded model, up to a limit."""
        if self._pauses.active("lanes"):
            return None
        queues, heads = self._queues("gpu", now)
        loaded = next((s for s in stages_of_lane("gpu") if s == slot.worker.last_stage), None)
        limits = self._settings.lanes.gpu
        stage = choose_gpu(queues, loaded, slot.run_length, now, limits.stick_jobs, limits.stick_s)
        return heads[stage] if stage else None

    def voice(self, slot: Slot, now: float) -> Ticket | None:
        """Return the next job of the voice lane, or None. Its models are small, so that changing between them costs nothing."""
        if self._pauses.active("lanes"):
            return None
        queues, heads = self._queues("voice", now)
        stage = choose_first(queues)
        return heads[stage] if stage else None

    def cpu(self, slot: Slot, now: float) -> Ticket | None:
        """Return the next job of the cpu lane, or None: encoding leaves one of several workers free."""
        if self._pauses.active("lanes"):
            return None
        queues, heads = self._queues("cpu", now)
        others = [other.job.stage for other in self.cpu_slots if other is not slot and other.job]
        long = sum(stage in BY_NAME and BY_NAME[stage].turn == "long" for stage in others)
        ahead = sum(self._ready_queue.count(stage) for stage in _BETWEEN)
        stage = choose_cpu(queues, long, len(self.cpu_slots), ahead)
        return heads[stage] if stage else None

    def _queues(self, lane: LaneName, now: float) -> tuple[dict[Stage, Waiting], dict[Stage, Ticket]]:
        ready, stages = self._ready_queue, stages_of_lane(lane)
        heads = {stage: head for stage in stages if (head := ready.head(stage, now, lane)) is not None}
        waiting = {s: Waiting(ready.count(s, lane), h.since, h.priority, ready.served_s(h)) for s, h in heads.items()}
        return waiting, heads
