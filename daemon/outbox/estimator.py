"""Estimates progress and remaining time of jobs from the times of earlier jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from daemon.events import Subscriber
from daemon.jobs.manifest_values import FRAME_RATES, USUAL_RATE
from daemon.jobs.record import Job
from daemon.jobs.speech_length import estimated_s
from daemon.jobs.stages import BY_NAME, CHECK, Stage
from daemon.outbox.estimates.learned_times import Conditions, LearnedTimes, Size

#: Sides of a video whose size is not known yet, px; length of one that is to be converted, s.
USUAL_SIDE_PX = 1080
_USUAL_VIDEO_S = 30.0


def speech_s(job: Job) -> float:
    """Return the length of a job's speech in s; an estimate until the tts stage has synthesized it."""
    checked = float(job.facts.of(CHECK).get("speech_s", 0.0))
    return (
        job.audio_s
        or checked
        or estimated_s(str(job.manifest.get("text") or ""), float(job.manifest.get("speed") or 1.0))
    )


def frame_pixels(job: Job) -> tuple[int, int]:
    """Return width and height of a job's video in px; a guess until the face stage has chosen them, or a video is converted."""
    face = job.facts.of("face") or job.facts.of("transcode")
    if "width" in face and "height" in face:
        return int(face["width"]), int(face["height"])
    width, _, height = str(job.manifest.get("size") or "").partition("x")
    return (int(width), int(height)) if height else (USUAL_SIDE_PX, USUAL_SIDE_PX)


@dataclass(frozen=True)
class Work:
    """What determines the run time of a job's stages.

    Attributes:
        speech_s: length of the speech, or of the video that is converted, s.
        megapixels_per_s: those of its video in each second.
    """

    speech_s: float
    megapixels_per_s: float

    @classmethod
    def of_video(cls, seconds: float, size: tuple[int, int], rate: Fraction) -> Work:
        """Return the work of a video of so many seconds, px, and frames per second."""
        return cls(seconds, size[0] * size[1] * float(rate) / 1e6)

    @classmethod
    def of_job(cls, job: Job) -> Work:
        """Return the work of a job, as far as it is known."""
        rate = FRAME_RATES.get(str(job.manifest.get("fps")), FRAME_RATES[USUAL_RATE])
        seconds = speech_s(job)
        if "transcode" in job.stages:
            seconds = float(job.facts.of("transcode").get("duration_s") or _USUAL_VIDEO_S)
        return cls.of_video(seconds, frame_pixels(job), rate)

    def first_guess_s(self, stage: Stage) -> float:
        """Return the expected run time of a stage on a 2-core machine, s."""
        row = BY_NAME[stage]
        return row.start_s + self.speech_s * (row.per_speech_s + row.per_megapixel_s * self.megapixels_per_s)

    def size(self, stage: Stage) -> Size:
        """Return what the run time of a stage follows from."""
        row = BY_NAME[stage]
        has_length = row.per_speech_s > 0.0 or row.per_megapixel_s > 0.0
        return Size(self.speech_s if has_length else 0.0, self.megapixels_per_s if row.per_megapixel_s > 0.0 else 0.0)


class Estimator(Subscriber):
    """Expects how long stages take by what it has learned from those before.

    Args:
        learned: what an earlier daemon learned.
    """

    def __init__(self, learned: LearnedTimes | None = None) -> None:
        self.learned = learned or LearnedTimes()
        self._reported_left_s: dict[str, float] = {}  # by job id, as reported by running stages

    def stage_left(self, job_id: str, seconds: float) -> None:
        self._reported_left_s[job_id] = seconds

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        self._reported_left_s.pop(job.id, None)
        facts = job.facts.of(stage)
        # What was taken over took no time, and the check of a batch takes as long as its table.
        if result == "done" and not (facts.get("taken_over") or "rows" in facts):
            work = Work.of_job(job)
            guess_s = work.first_guess_s(stage)
            found = Conditions.of(stage, guess_s, self.engine_of(job, stage), str(facts.get("device") or ""))
            self.learned.observe(found, seconds / max(1e-3, guess_s), work.size(stage))

    def engine_of(self, job: Job, stage: Stage) -> str:
        """Return the engine that did a stage of a job, or that is expected to; empty where that is not known."""
        facts = job.facts.of(stage)
        known = facts.get("engine") or facts.get("encoder") or (job.facts.of(CHECK).get("engines") or {}).get(stage)
        return str(known or self.learned.usual(stage)[0])

    def stage_s(self, job: Job, stage: Stage) -> float:
        """Return the expected run time of one stage of a job, in s."""
        ((_, _, seconds),) = self.stages_s(job, (stage,))
        return seconds

    def stages_s(self, job: Job, stages: Iterable[Stage]) -> Iterator[tuple[Stage, str, float]]:
        """Yield stages of a job, each with its engine (`engine_of`) and its expected run time, in s."""
        work = Work.of_job(job)
        for stage in stages:
            guess_s, engine = work.first_guess_s(stage), self.engine_of(job, stage)
            found = Conditions.of(stage, guess_s, *self.learned.usual(stage, engine))
            yield stage, engine, guess_s * self.learned.expect(found).factor

    def _done_and_total_s(self, job: Job, part: float) -> tuple[float, float]:
        """Return estimated seconds of work done, and of all work of the job."""
        times = {stage: seconds for stage, _, seconds in self.stages_s(job, job.stages)}
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
