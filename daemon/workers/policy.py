"""Chooses the next stage of a lane: pure functions of a snapshot of the queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.jobs.stages import BY_NAME, STAGES, Stage, Turn

#: With this many jobs waiting for the lanes between its stages, the cpu lane encodes videos rather than checking more pictures.
ENOUGH_AHEAD = 4
#: Short stages of one line go before the longer ones of others for so many seconds of work more than those were given.
SHORT_S = 10.0


@dataclass(frozen=True)
class Waiting:
    """The queue of one stage.

    Attributes:
        count: of its jobs.
        since: when its first job entered it (monotonic, s).
        priority: of its first job.
        served_s: seconds of work that the line of its first job was given in this lane (`daemon.queue.line_clocks`).
    """

    count: int
    since: float
    priority: int
    served_s: float = 0.0


def choose_gpu(
    queues: Mapping[Stage, Waiting], loaded: Stage | None, run: int, now: float, stick_jobs: int, stick_s: float
) -> Stage | None:
    """Return the next stage of the gpu lane; None if no job waits.

    Loading a model takes seconds, so the lane stays with the loaded model while its stage has jobs: for at most `stick_jobs`
    jobs in a row (`run` so far), and until the first job of another stage has waited `stick_s` seconds. A job of higher
    priority at another stage goes first.

    Args:
        queues: the stages that have a job to give.
        loaded: the stage whose model is in memory.
        run: jobs done in a row with it.
        now: monotonic, s.
    """
    if not queues:
        return None
    others = {stage: queue for stage, queue in queues.items() if stage != loaded}
    best = _oldest(others)
    if loaded is None or loaded not in queues:
        return best
    if best is None:
        return loaded
    here, there = queues[loaded], others[best]
    if there.priority != here.priority:
        return best if there.priority > here.priority else loaded
    return best if run >= stick_jobs or now - there.since >= stick_s else loaded


def _oldest(queues: Mapping[Stage, Waiting]) -> Stage | None:
    """Return the stage whose first job has the highest priority, then that whose first job has waited longest."""
    return min(queues, key=lambda s: (-queues[s].priority, queues[s].since), default=None)


def choose_first(queues: Mapping[Stage, Waiting]) -> Stage | None:
    """Return the stage whose first job has the highest priority, then that of the line which was given the least work; of one
    line the later stage, so that jobs end before others begin.
    """
    return min(queues, key=lambda s: (-queues[s].priority, queues[s].served_s, -STAGES.index(s)), default=None)


def choose_cpu(queues: Mapping[Stage, Waiting], long: int, processes: int, ahead: int) -> Stage | None:
    """Return the next stage of a cpu worker, or None, by the stages' turns (`daemon.jobs.stages`): "first", "feeds", "long".

    Args:
        queues: the stages that have a job to give.
        long: workers that run a long stage now; of several workers, one stays free for short stages.
        processes: workers of the lane.
        ahead: jobs that wait for the lanes between the stages of the cpu lane.
    """

    def best(turn: Turn) -> Stage | None:
        return choose_first({stage: queue for stage, queue in queues.items() if BY_NAME[stage].turn == turn})

    first, feeds = best("first"), best("feeds")
    may_be_long = best("long") if long < max(1, processes - 1) else None
    other = feeds if feeds and (ahead < ENOUGH_AHEAD or not may_be_long) else may_be_long
    if first is None or other is None:
        return first or other
    # Short stages go first, but thousands of them, of one batch, must not keep the others from their videos.
    here, there = queues[first], queues[other]
    overdue = there.priority >= here.priority and here.served_s - there.served_s > SHORT_S
    return other if overdue else first
