"""Estimates progress and remaining time of jobs from the times of earlier jobs."""

from __future__ import annotations

from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.speech_length import estimated_s
from daemon.jobs.stages import BY_NAME, STAGES, Stage

#: Weight of a new measurement against all earlier ones.
GAIN = 0.3


def speech_s(job: Job) -> float:
    """Return the length of a job's speech in s; an estimate until the tts stage has synthesized it."""
    return job.audio_s or estimated_s(str(job.manifest.get("text") or ""), float(job.manifest.get("speed") or 1.0))


class Estimator(Subscriber):
    """Learns one factor for each stage: measured time divided by the first guess (daemon/jobs/stages.py)."""

    def __init__(self) -> None:
        self._factors: dict[Stage, float] = dict.fromkeys(STAGES, 1.0)
        self._reported_left_s: dict[str, float] = {}  # by job id, as reported by running stages

    def stage_left(self, job_id: str, seconds: float) -> None:
        self._reported_left_s[job_id] = seconds

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        self._reported_left_s.pop(job.id, None)
        if result == "done":
            ratio = seconds / max(1e-3, self._first_guess_s(job, stage))
            self._factors[stage] += GAIN * (min(max(ratio, 0.05), 20.0) - self._factors[stage])

    def _first_guess_s(self, job: Job, stage: Stage) -> float:
        row = BY_NAME[stage]
        return row.start_s + row.per_speech_s * speech_s(job)

    def stage_s(self, job: Job, stage: Stage) -> float:
        """Return the expected run time of one stage of a job, in s."""
        return self._first_guess_s(job, stage) * self._factors[stage]

    def _done_and_total_s(self, job: Job, part: float) -> tuple[float, float]:
        """Return estimated seconds of work done, and of all work of the job."""
        times = {stage: self.stage_s(job, stage) for stage in job.stages}
        if job.stage is None or job.stage not in times:
            return 0.0, sum(times.values())
        if job.id in self._reported_left_s and part < 1:
            times[job.stage] = self._reported_left_s[job.id] / (1 - part)
        before = job.stages[: job.stages.index(job.stage)]
        return sum(times[stage] for stage in before) + part * times[job.stage], sum(times.values())

    def progress(self, job: Job, part: float) -> float:
        """Return the finished part of the whole job, 0 to 1. `part`: that of its running stage, 0 to 1."""
        done, total = self._done_and_total_s(job, part)
        return min(1.0, done / total) if total else 0.0

    def eta_s(self, job: Job, part: float) -> float | None:
        """Return the seconds of work left, without waiting in queues; None for a job that is neither queued nor running."""
        if job.state not in ("queued", "running") or not job.stages:
            return None
        done, total = self._done_and_total_s(job, part)
        return max(0.0, total - done)
