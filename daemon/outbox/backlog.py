"""Knows how much work waits in each lane, and so when a job's turn comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from daemon.config.engines import lane_of_engine
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.stages import BY_NAME, LaneName, Stage
from daemon.outbox.estimator import Estimator


class LaneWork(NamedTuple):
    """Seconds of work, by lane. `long`: in the cpu lane, of stages for which one of its workers stays free."""

    gpu: float = 0.0
    voice: float = 0.0
    cpu: float = 0.0
    long: float = 0.0

    def plus(self, other: LaneWork, sign: float = 1.0) -> LaneWork:
        """Return the sum of the two; with `sign` -1 the difference."""
        return LaneWork(*(max(0.0, one + sign * more) for one, more in zip(self, other, strict=True)))

    def time_in(self, slots: Mapping[LaneName, int]) -> LaneWork:
        """Return how long the work takes in each lane where all its slots are busy, s; `cpu`: with the long stages."""
        cpu = max(1, slots.get("cpu", 1))
        return LaneWork(
            self.gpu / max(1, slots.get("gpu", 1)),
            self.voice / max(1, slots.get("voice", 1)),
            (self.cpu + self.long) / cpu,
            self.long / max(1, cpu - 1),
        )


class Backlog(Subscriber):
    """Counts the work of the jobs that have not ended.

    Args:
        estimator: expects how long stages take.
        slots: returns how many jobs each lane works on at once.

    Attributes:
        total: work of all jobs that wait or run.
    """

    def __init__(self, estimator: Estimator, slots: Callable[[], Mapping[LaneName, int]]) -> None:
        self._estimator = estimator
        self._slots = slots
        self._work: dict[str, LaneWork] = {}
        #: The stages that run, by job id: when each began (monotonic, s), in which lane, and how long it is expected to take, s.
        self._running: dict[str, tuple[float, str, float]] = {}
        self.total = LaneWork()

    def job_accepted(self, job: Job) -> None:
        self._count(job)

    def job_recovered(self, job: Job) -> None:
        self._count(job)

    def job_changed(self, job: Job) -> None:
        self._count(job)

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self._count(job)
        self._running[job.id] = time.monotonic(), self._lane_of(job, stage), self._estimator.stage_s(job, stage)

    def job_finished(self, job: Job) -> None:
        self._set(job.id, None)

    def work_of(self, job_id: str) -> LaneWork:
        """Return the work that is left of a job; nothing for one that does not wait or run."""
        return self._work.get(job_id, LaneWork())

    def running(self) -> LaneWork:
        """Return the work that is left of the jobs whose stages run now."""
        work, now = LaneWork(), time.monotonic()
        for job_id, (began, lane, expected_s) in self._running.items():
            passed = LaneWork(**{lane: min(now - began, expected_s)})
            work = work.plus(self.work_of(job_id).plus(passed, -1.0))
        return work

    def wait_s(self, job: Job, ahead: LaneWork) -> float:
        """Return how long a job waits, in all its queues together, for the work that goes before it: in the lane that is busiest,
        of those that it goes through, s.
        """
        own = self.left_of(job)
        pairs = zip(ahead.time_in(self._slots()), own.time_in({}), strict=True)
        return max((seconds for seconds, mine in pairs if mine), default=0.0)

    def left_of(self, job: Job) -> LaneWork:
        """Return the work of the stages that a job has not done."""
        if not job.stages or job.state not in ("queued", "running"):
            return LaneWork()
        first = job.stages.index(job.stage) if job.stage in job.stages else 0
        seconds = dict.fromkeys(LaneWork._fields, 0.0)
        for stage in job.stages[first:]:
            seconds[self._lane_of(job, stage)] += self._estimator.stage_s(job, stage)
        return LaneWork(**seconds)

    def _lane_of(self, job: Job, stage: Stage) -> str:
        return field_of(stage, self._estimator.engine_of(job, stage))

    def _count(self, job: Job) -> None:
        waits = job.state in ("queued", "running") and job.facts.batch is None
        self._set(job.id, self.left_of(job) if waits else None)

    def _set(self, job_id: str, work: LaneWork | None) -> None:
        self._running.pop(job_id, None)
        self.total = self.total.plus(self._work.pop(job_id, LaneWork()), -1.0)
        if work is not None:
            self._work[job_id] = work
            self.total = self.total.plus(work)


def field_of(stage: Stage, engine: str) -> str:
    """Return in which field of `LaneWork` a stage counts that an engine does; empty: it is not known which."""
    row = BY_NAME[stage]
    if row.lanes == ("cpu",):
        return "long" if row.turn == "long" else "cpu"
    lane = lane_of_engine(engine) if engine else row.lanes[0]
    return lane if lane in row.lanes else row.lanes[0]
