"""How wrong the expected ends of jobs were is measured, over the last hundred jobs that people did not stop."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from daemon.jobs.record import Job, State
from daemon.outbox.estimates import estimate_errors
from daemon.outbox.estimates.estimate_errors import LAST, EstimateErrors
from daemon.queue.pauses import Pause


class Watch:
    """Jobs that are expected to take 100 s, on a clock of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.number = 1e6, 0
        monkeypatch.setattr(estimate_errors, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.errors = EstimateErrors(lambda job: 100.0)

    def accept(self) -> Job:
        self.number += 1
        job = Job(f"job-20260101T000000Z-{self.number:08x}", "n", "n.yaml", state="queued")
        self.errors.job_accepted(job)
        return job

    def end(self, job: Job, after_s: float, state: State = "done") -> None:
        self.now += after_s
        job.state = state
        self.errors.job_finished(job)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_the_median_counts_early_and_late_alike(watch: Watch) -> None:
    assert (watch.errors.median_s(), watch.errors.median_ratio(), len(watch.errors)) == (None, None, 0)
    for took_s in (50.0, 200.0, 110.0):
        watch.end(watch.accept(), took_s)
    assert watch.errors.median_s() == 50.0
    assert watch.errors.median_ratio() == 0.5
    # And the next start knows them
    again = EstimateErrors(lambda job: None, watch.errors.to_json())
    assert (again.median_s(), len(again)) == (50.0, 3)
    assert len(EstimateErrors(lambda job: None, ["x", [1], None, [1, "y"]])) == 0


def test_only_the_last_hundred_count(watch: Watch) -> None:
    for took_s in [1000.0] * LAST + [101.0] * LAST:
        watch.end(watch.accept(), took_s)
    assert (watch.errors.median_s(), len(watch.errors)) == (1.0, LAST)


def test_a_job_that_people_stopped_or_that_failed_says_nothing(watch: Watch) -> None:
    held, failed, paused = watch.accept(), watch.accept(), watch.accept()
    held.state = "held"
    watch.errors.job_changed(held)
    watch.end(held, 500.0)
    watch.end(failed, 500.0, "failed")
    watch.errors.queue_paused("intake", Pause("ann", "", 0.0))
    assert watch.errors._expected
    watch.errors.queue_paused("lanes", Pause("ann", "", 0.0))
    watch.end(paused, 500.0)
    assert len(watch.errors) == 0
