"""What a lane does next: pure functions over a snapshot of the queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.jobs.stages import BY_NAME, Stage, Turn

#: With this many jobs before the gpu lane, checking more pictures helps nobody: finish videos instead.
ENOUGH_AHEAD = 4


@dataclass(frozen=True)
class Waiting:
    """One stage's queue. `since`: when its first job came to stand there (monotonic, s); `priority`: the first job's."""

    count: int
    since: float
    priority: int


def choose_gpu(
    queues: Mapping[Stage, Waiting], loaded: Stage | None, run: int, now: float, stick_jobs: int, stick_s: float
) -> Stage | None:
    """The gpu lane's next stage.

    Loading a model costs seconds, so the lane stays with the loaded one while it has work: for at most `stick_jobs` jobs
    in a row (`run` so far), and until the first job of another stage has waited `stick_s`. A higher priority elsewhere
    changes at once.

    Args:
        queues: the stages that have a job to give.
        loaded: the stage whose model is in memory.
        run: jobs done in a row with it.
        now: monotonic, s.
    """
    if not queues:
        return None
    others = {stage: queue for stage, queue in queues.items() if stage != loaded}
    best = min(others, key=lambda s: (-others[s].priority, others[s].since), default=None)
    if loaded is None or loaded not in queues:
        return best
    if best is None:
        return loaded
    here, there = queues[loaded], others[best]
    if there.priority != here.priority:
        return best if there.priority > here.priority else loaded
    return best if run >= stick_jobs or now - there.since >= stick_s else loaded


def choose_cpu(queues: Mapping[Stage, Waiting], long: int, processes: int, ahead: int) -> Stage | None:
    """A cpu process's next stage, by the stages' turns (`daemon.jobs.stages`): first, then keep the gpu lane fed, then long work.

    Args:
        queues: the stages that have a job to give.
        long: processes that do long work now; one is always left for the short stages.
        processes: processes of the lane.
        ahead: jobs that already wait for the gpu lane.
    """

    def best(turn: Turn) -> Stage | None:
        mine = [stage for stage in queues if BY_NAME[stage].turn == turn]
        return min(mine, key=lambda s: (-queues[s].priority, queues[s].since), default=None)

    if first := best("first"):
        return first
    may_be_long = best("long") if long < max(1, processes - 1) else None
    feeds = best("feeds")
    if feeds and (ahead < ENOUGH_AHEAD or not may_be_long):
        return feeds
    return may_be_long
