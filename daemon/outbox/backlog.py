"""Knows how much work waits in each lane, and so when a job's turn comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from daemon.events import Subscriber
from daemon.jobs.record import Job, Line
from daemon.jobs.stages import LaneName, Stage
from daemon.outbox.estimator import Estimator
from daemon.outbox.lane_work import LaneWork, field_of


class RunningJob(NamedTuple):
    """A job whose stage runs.

    Attributes:
        now: work that is left of the stage; `later`: of those after it.
    """

    id: str
    line: Line
    priority: int
    stage: Stage
    now: LaneWork
    later: LaneWork


class _Begun(NamedTuple):
    """A stage that runs: when it began (monotonic, s), in which field of `LaneWork`, and how long it is expected to take, s."""

    at: float
    field: str
    expected_s: float
    stage: Stage
    priority: int


class Backlog(Subscriber):
    """Counts the work of the jobs that have not ended.

    Args:
        estimator: expects how long stages take.
        slots: returns how many jobs each lane works on at once; `apart`: how many slots run long stages only.

    Attributes:
        lines: work of the jobs that wait or run, by priority and line.
        jobs: how many those are, likewise.
    """

    def __init__(
        self, estimator: Estimator, slots: Callable[[], Mapping[LaneName, int]], apart: Callable[[], int] = lambda: 0
    ) -> None:
        self._estimator = estimator
        self._slots, self._apart = slots, apart
        self._work: dict[str, LaneWork] = {}
        #: By job id.
        self._running: dict[str, _Begun] = {}
        self._place_of: dict[str, tuple[int, Line]] = {}
        #: The stage from which on the work of a job was counted.
        self._stage_of: dict[str, Stage | None] = {}
        self.lines: dict[int, dict[Line, LaneWork]] = {}
        self.jobs: Counter[tuple[int, Line]] = Counter()

    def job_accepted(self, job: Job) -> None:
        self._count(job)

    def job_recovered(self, job: Job) -> None:
        self._count(job)

    def job_found_waiting(self, job: Job) -> None:
        self._count(job)

    def job_changed(self, job: Job) -> None:
        self._count(job)

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        if job.id not in self._work or self._stage_of[job.id] != stage:  # else it was counted as it entered the queue
            self._count(job)
        ((_, engine, seconds),) = self._estimator.stages_s(job, (stage,))
        self._running[job.id] = _Begun(time.monotonic(), field_of(stage, engine), seconds, stage, job.priority)

    def job_finished(self, job: Job) -> None:
        self._set(job, None)

    def work_of(self, job_id: str) -> LaneWork:
        """Return the work that is left of a job; nothing for one that does not wait or run."""
        return self._work.get(job_id, LaneWork())

    def running(self) -> Iterator[RunningJob]:
        """Yield the jobs whose stages run now."""
        now = time.monotonic()
        for job_id, begun in self._running.items():
            left_s = max(0.0, begun.at + begun.expected_s - now)
            later = self.work_of(job_id).plus(LaneWork(**{begun.field: begun.expected_s}), -1.0)
            _, line = self._place_of[job_id]
            yield RunningJob(job_id, line, begun.priority, begun.stage, LaneWork(**{begun.field: left_s}), later)

    def wait_s(self, job: Job, ahead: LaneWork) -> float:
        """Return how long a job waits, in all its queues together, for the work that goes before it: in the lane that is busiest,
        of those that it goes through; where its stage runs, those after it, s.
        """
        own = self.left_of(job, later=True) if job.state == "running" else self._work.get(job.id) or self.left_of(job)
        pairs = zip(ahead.time_in(self._slots(), self._apart()), own.time_in({}), strict=True)
        return max((seconds for seconds, mine in pairs if mine), default=0.0)

    def time_s(self, work: LaneWork) -> float:
        """Return how long work takes, in the lane that is busiest, s."""
        return max(work.time_in(self._slots(), self._apart()))

    def left_of(self, job: Job, *, later: bool = False) -> LaneWork:
        """Return the work of the stages that a job has not done; `later`: without its present one."""
        if not job.stages or job.state not in ("queued", "running"):
            return LaneWork()
        first = job.stages.index(job.stage) if job.stage in job.stages else 0
        seconds = dict.fromkeys(LaneWork._fields, 0.0)
        for stage, engine, stage_s in self._estimator.stages_s(job, job.stages[first + later :]):
            seconds[field_of(stage, engine)] += stage_s
        return LaneWork(**seconds)

    def _count(self, job: Job) -> None:
        waits = job.state in ("queued", "running") and job.facts.batch is None
        self._set(job, self.left_of(job) if waits else None)

    def _set(self, job: Job, work: LaneWork | None) -> None:
        self._running.pop(job.id, None)
        if (before := self._work.pop(job.id, None)) is not None:
            priority, line = place = self._place_of.pop(job.id)
            del self._stage_of[job.id]
            self.jobs[place] -= 1
            self.lines[priority][line] = self.lines[priority][line].plus(before, -1.0)
            if not self.jobs[place]:
                del self.jobs[place], self.lines[priority][line]
            if not self.lines[priority]:
                del self.lines[priority]
        if work is not None:
            self._work[job.id], self._stage_of[job.id] = work, job.stage
            self._place_of[job.id] = place = job.priority, job.line
            self.jobs[place] += 1
            lines = self.lines.setdefault(job.priority, {})
            lines[job.line] = lines.get(job.line, LaneWork()).plus(work)
