"""How far a job is and how long it will take, from what earlier jobs took."""

from __future__ import annotations

from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.stages import BY_NAME, STAGES, Stage

#: Characters spoken in a second, for a guess at the length before the voice has been made.
CHARS_PER_S = 14.0
#: Weight of a new measurement against all earlier ones.
GAIN = 0.3


def speech_s(job: Job) -> float:
    """Length of the speech in s; a guess at it, until the tts stage has made it."""
    return job.audio_s or len(str(job.manifest.get("text") or "")) / CHARS_PER_S


class Estimator(Subscriber):
    """Learns a factor for each stage: measured time over the first guess."""

    def __init__(self) -> None:
        self._factors: dict[Stage, float] = dict.fromkeys(STAGES, 1.0)
        self._reported_left_s: dict[str, float] = {}  # s, by job, where a running stage has said it

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
        """Expected run time of one stage of a job, in s."""
        return self._first_guess_s(job, stage) * self._factors[stage]

    def _done_and_total_s(self, job: Job, part: float) -> tuple[float, float]:
        """Seconds of work behind a job and in all, by the estimate."""
        times = {stage: self.stage_s(job, stage) for stage in job.stages}
        if job.stage is None or job.stage not in times:
            return 0.0, sum(times.values())
        if job.id in self._reported_left_s and part < 1:
            times[job.stage] = self._reported_left_s[job.id] / (1 - part)
        before = job.stages[: job.stages.index(job.stage)]
        return sum(times[stage] for stage in before) + part * times[job.stage], sum(times.values())

    def progress(self, job: Job, part: float) -> float:
        """Finished part of the whole job, 0 to 1; `part` is that of its running stage."""
        done, total = self._done_and_total_s(job, part)
        return min(1.0, done / total) if total else 0.0

    def eta_s(self, job: Job, part: float) -> float | None:
        """Seconds of work left once it runs, or None where nothing is to come."""
        if job.state not in ("queued", "running") or not job.stages:
            return None
        done, total = self._done_and_total_s(job, part)
        return max(0.0, total - done)
