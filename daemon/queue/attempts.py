"""Notes in the records of jobs when attempts at their stages begin, and what became of them."""

from __future__ import annotations

import random
import time

from daemon.config.settings import Retry
from daemon.jobs.record import HISTORY, Job, StageRun
from daemon.jobs.stages import Stage


class Attempts:
    """The attempts that run now."""

    def __init__(self) -> None:
        #: By job: when it began, on the monotonic clock, and the slot that runs it.
        self._running: dict[str, tuple[float, str]] = {}
        #: By job: when its stage was over, on the monotonic clock, if it was not recorded at once.
        self._over: dict[str, float] = {}

    def begin(self, job: Job, stage: Stage, waits_since: float, slot: str) -> None:
        """Count an attempt in a job's record, which says from now on that the stage runs.

        Args:
            waits_since: when the job entered the queue of the stage, monotonic, s.
        """
        now = time.monotonic()
        self._running[job.id] = now, slot
        job.timings.setdefault(stage, {"wait": 0.0, "run": 0.0})["wait"] += max(0.0, now - waits_since)
        job.attempts[stage] = job.attempts.get(stage, 0) + 1
        job.state, job.not_before, job.since = "running", 0.0, time.time()

    def forget(self, job_id: str) -> None:
        """Forget an attempt that did not come about."""
        self._running.pop(job_id, None)
        self._over.pop(job_id, None)

    def over(self, job_id: str) -> None:
        """Note that a stage is over; `end` records it later, when the slot does other work already."""
        self._over[job_id] = time.monotonic()

    def end(self, job: Job, stage: Stage, result: str) -> float:
        """Record how an attempt ended, and from when on the next one may begin (`not_before` of the job).

        Args:
            result: as in `Subscriber.stage_ended`.

        Returns:
            The seconds that it took; 0 for one that had not begun.
        """
        now = time.monotonic()
        ended = self._over.pop(job.id, now)
        began, slot = self._running.pop(job.id, (ended, ""))
        seconds = ended - began
        job.timings.setdefault(stage, {"wait": 0.0, "run": 0.0})["run"] += seconds
        started, again = round(time.time() - (now - began), 3), round(job.not_before, 3)
        run = StageRun(stage, slot, started, round(seconds, 3), result, again)
        job.runs = [*job.runs, run][-HISTORY:]
        return seconds


def delay_s(retry: Retry, tries: int) -> float:
    """Return how long the attempt after so many waits."""
    delay: float = min(retry.max_delay_s, retry.first_delay_s * 2.0 ** max(0, tries - 1))
    return delay * (1 + random.random() / 2)  # jitter: jobs that failed together are not retried together
