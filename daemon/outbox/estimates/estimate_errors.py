"""Measures how wrong the expected ends of jobs were: what was said when a job was taken in, against when it was done."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from daemon.events import Subscriber
from daemon.jobs.record import Job

if TYPE_CHECKING:
    from daemon.queue.pauses import Pause, Scope

#: Jobs whose errors are remembered.
LAST: Final = 100


class Error(NamedTuple):
    """How wrong one expectation was. `off_s`: so many seconds, early or late; `took_s`: from when it was said to the end."""

    off_s: float
    took_s: float


class EstimateErrors(Subscriber):
    """Compares what was expected of jobs with what came.

    Args:
        expect_s: returns in how many seconds a job is expected to be done, with its wait; None where nothing is expected.
        stored: what `to_json` returned; what is not valid in it is left out.
    """

    def __init__(self, expect_s: Callable[[Job], float | None], stored: Any = None) -> None:
        self._expect_s = expect_s
        #: By job id: when that was said, and the end that was expected; monotonic, s.
        self._expected: dict[str, tuple[float, float]] = {}
        self._errors: deque[Error] = deque(maxlen=LAST)
        for one in stored if isinstance(stored, list) else ():
            if isinstance(one, list) and len(one) == 2 and all(isinstance(value, int | float) for value in one):
                self._errors.append(Error(float(one[0]), max(0.0, float(one[1]))))

    def job_accepted(self, job: Job) -> None:
        if job.state == "queued" and (seconds := self._expect_s(job)) is not None:
            now = time.monotonic()
            self._expected[job.id] = now, now + seconds

    def batch_begun(self, job: Job) -> None:
        self._expected.pop(job.id, None)  # how long its rows take is another question

    def job_changed(self, job: Job) -> None:
        if job.state not in ("queued", "running"):  # held: when it goes on is for people to say
            self._expected.pop(job.id, None)

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        if scope == "lanes":
            self._expected.clear()

    def job_finished(self, job: Job) -> None:
        said = self._expected.pop(job.id, None)
        if said is not None and job.state == "done":
            now = time.monotonic()
            self._errors.append(Error(abs(now - said[1]), now - said[0]))

    def __len__(self) -> int:
        return len(self._errors)

    def median_s(self) -> float | None:
        """Return the median error, early or late, s; None where no job was measured."""
        return statistics.median(error.off_s for error in self._errors) if self._errors else None

    def median_ratio(self) -> float | None:
        """Return the median error as a part of the time that the job took; None where no job was measured."""
        return statistics.median(e.off_s / max(e.took_s, 0.1) for e in self._errors) if self._errors else None

    def to_json(self) -> list[list[float]]:
        """Return what is stored."""
        return [[round(error.off_s, 2), round(error.took_s, 2)] for error in self._errors]
