"""Chooses which job runs next, and in which slot: one pure function of a snapshot. docs/scaling.md describes its rules.

It reads no clock, disk or GPU; times are monotonic seconds that the snapshot brings. The same snapshot gives the same choice.
Each free slot of a lane asks for itself, and takes a job only where the choice names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from daemon.jobs.stages import BY_NAME, Stage, Turn, long_at_once

#: With this many jobs for each GPU waiting for the lanes between its stages, the cpu lane encodes videos rather than measuring
#: more pictures.
ENOUGH_AHEAD = 4
#: Short stages of one line go before the longer ones of others for so many seconds of work more than those were given.
SHORT_S = 10.0

#: "free": it could start now; "soon": its process is being started; "none": it is free, and has no process yet; "busy": it runs
#: a job.
SlotState = Literal["free", "soon", "none", "busy"]
#: Which of several slots without the model a job goes to, everything else being equal.
_BY_STATE: tuple[SlotState, ...] = ("free", "soon", "none")


@dataclass(frozen=True)
class Queue:
    """The jobs that wait in one lane for one stage.

    Attributes:
        job: id of the first one, which is the next by the shares of owners and folders (`daemon.queue.fair_share`).
        count: of the jobs.
        priority: of the first one.
        accepted: when the first one was accepted, s.
        since: since when the queue has stood still: the later of when its first job entered it, and when a job of this queue
            was last started, s.
        served_s: seconds of work that the line of the first one was given in this lane with its priority
            (`daemon.queue.line_clocks`).
        cost_s: seconds of work that the first one is expected to take.
    """

    stage: Stage
    job: str
    count: int = 1
    priority: int = 0
    accepted: float = 0.0
    since: float = 0.0
    served_s: float = 0.0
    cost_s: float = 1.0


@dataclass(frozen=True)
class SlotView:
    """What a slot is, has and does.

    Attributes:
        name: unique in the snapshot.
        stages: those that it may run.
        running: the stage that it runs; None if it is not busy.
        resident: the stages whose models are loaded in its process.
        run: jobs in a row for these, since a model was last loaded.
        free_bytes: free memory of its GPU; None: not known, so nothing more is taken to fit.
    """

    name: str
    stages: frozenset[Stage]
    state: SlotState = "free"
    running: Stage | None = None
    resident: frozenset[Stage] = frozenset()
    run: int = 0
    free_bytes: int | None = None


@dataclass(frozen=True)
class Costs:
    """What loading the models of a stage was found to cost.

    Attributes:
        load_s: seconds; 0 for a stage that is missing.
        gpu_bytes: memory on the GPU. A stage that is missing is not taken to fit beside another one.
    """

    load_s: Mapping[Stage, float] = field(default_factory=dict)
    gpu_bytes: Mapping[Stage, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Everything that a choice depends on.

    Attributes:
        queues: at most one for each stage.
        slots: those of one lane that take jobs now; a slot that pauses is left out.
        stick_jobs, stick_s: the settings `lanes.gpu.stick_jobs` and `lanes.gpu.stick_s`.
        ahead: jobs that wait for the lanes between the stages of the cpu lane, for each GPU.
    """

    now: float
    queues: Sequence[Queue]
    slots: Sequence[SlotView]
    costs: Costs = Costs()
    stick_jobs: int = 1
    stick_s: float = 0.0
    ahead: float = 0.0


@dataclass(frozen=True)
class Choice:
    """A slot, and the job that it is to run next at a stage."""

    slot: str
    stage: Stage
    job: str


def choose(seen: Snapshot) -> Choice | None:
    """Return the next job and its slot; None where no free slot should start a job now.

    1. **Priority**: the highest goes first, whatever must be loaded for it.
    2. **Shares**: of one priority, the line that was given the least work goes first; of one line the job that was accepted
       first, so that jobs end before others begin.
    3. **Models**: a slot whose process holds the models of a waiting job leaves them for others only when these are due
       (`_is_due`). Models that fit beside the loaded ones, by their known size and the free memory, need not wait for that.
    4. **Slots**: a job goes to the slot that holds its models, else to one that holds none; it waits for a busy slot that holds
       them for as long as loading them takes, if it is expected to come up there sooner.
    5. **Turns** of the cpu lane (`daemon.jobs.stages`): short stages first, one of several slots stays free of long ones.
    """
    offers = [(slot, queue) for slot in seen.slots if slot.state != "busy" and (queue := _offer(seen, slot))]
    if not offers:
        return None
    slot, queue = min(offers, key=lambda offer: _rank_of_offer(seen, *offer))
    return Choice(slot.name, queue.stage, queue.job)


def _rank_of_offer(seen: Snapshot, slot: SlotView, queue: Queue) -> tuple[object, ...]:
    cold = queue.stage not in slot.resident
    models = (cold, cold and not _fits(seen, slot, queue), cold and len(slot.resident))
    return (-queue.priority, *models, _BY_STATE.index(slot.state), _order(queue))


def _order(queue: Queue) -> tuple[float, float, float, str]:
    return (-queue.priority, queue.served_s, queue.accepted, queue.job)


def _offer(seen: Snapshot, slot: SlotView) -> Queue | None:
    """Return the queue that a free slot would take a job of; None if it should take none."""
    mine = [queue for queue in seen.queues if queue.stage in slot.stages]
    kept = min((queue for queue in mine if queue.stage in slot.resident), key=_order, default=None)

    def is_allowed(queue: Queue) -> bool:
        if queue.stage in slot.resident:
            return True
        if kept is None or _fits(seen, slot, queue):
            return not _comes_up_sooner_elsewhere(seen, slot, queue)
        return _is_due(seen, slot, kept, queue)

    return _by_turn(seen, slot, [queue for queue in mine if is_allowed(queue)])


def _fits(seen: Snapshot, slot: SlotView, queue: Queue) -> bool:
    """Return whether the models of a queue can be loaded without unloading others."""
    size = seen.costs.gpu_bytes.get(queue.stage)
    return not slot.resident or (size is not None and slot.free_bytes is not None and size <= slot.free_bytes)


def _is_due(seen: Snapshot, slot: SlotView, kept: Queue, other: Queue) -> bool:
    """Return whether the first job of another queue may be taken, which costs the loaded models.

    It may if its priority is higher; if its queue has stood still for `stick_s`; or if the loaded models have done `stick_jobs`
    jobs, and no other slot holds its models. It is taken only if it is first by shares, too (`_order`): otherwise models would
    be changed for those that have had more already.
    """
    if other.priority != kept.priority:
        return other.priority > kept.priority
    if seen.now - other.since >= seen.stick_s:
        return True
    return slot.run >= seen.stick_jobs and not _holders(seen, slot, other.stage)


def _holders(seen: Snapshot, slot: SlotView, stage: Stage) -> list[SlotView]:
    """Return the other slots that hold the models of a stage and may run it."""
    return [one for one in seen.slots if one.name != slot.name and stage in one.resident and stage in one.stages]


def _comes_up_sooner_elsewhere(seen: Snapshot, slot: SlotView, queue: Queue) -> bool:
    """Return whether a job should wait for a busy slot that holds its models, rather than that this slot loads them.

    It waits at most for as long as loading takes, however wrong the expectation is.
    """
    busy = [one for one in _holders(seen, slot, queue.stage) if one.state == "busy"]
    load_s = seen.costs.load_s.get(queue.stage, 0.0)
    return bool(busy) and queue.count * queue.cost_s / len(busy) < load_s and seen.now - queue.since < load_s


def _by_turn(seen: Snapshot, slot: SlotView, queues: Sequence[Queue]) -> Queue | None:
    """Return the next queue by the stages' turns: "first", "feeds", "long". Of stages of one turn, the first by `_order`.

    Those of a lower priority have no turn, and stages of one line that was given much more than that of a later turn wait for it:
    thousands of them, of one batch, must not keep the others from their videos.
    """
    # Slots that run long stages only, on other machines, keep no short one waiting.
    mixed = [one for one in seen.slots if any(BY_NAME[stage].turn != "long" for stage in one.stages)]
    others = [one.running for one in mixed if one.name != slot.name and one.running is not None]
    long = sum(BY_NAME[stage].turn == "long" for stage in others)
    may_be_long = slot not in mixed or long < long_at_once(len(mixed))
    allowed = [queue for queue in queues if may_be_long or BY_NAME[queue.stage].turn != "long"]
    highest = max((queue.priority for queue in allowed), default=0)

    def best(turn: Turn) -> Queue | None:
        same = (queue for queue in allowed if BY_NAME[queue.stage].turn == turn and queue.priority == highest)
        return min(same, key=_order, default=None)

    turns: tuple[Turn, ...] = ("first", "feeds", "long") if seen.ahead < ENOUGH_AHEAD else ("first", "long", "feeds")
    chosen: Queue | None = None
    for queue in filter(None, map(best, turns)):
        if chosen is None or chosen.served_s - queue.served_s > SHORT_S:
            chosen = queue
    return chosen
