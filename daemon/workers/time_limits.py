"""Calculates the time limit of a stage from the size of its input."""

from __future__ import annotations

from pathlib import Path

from daemon.config.settings import Timeout
from daemon.jobs.companions import copy_name
from daemon.jobs.record import Job
from daemon.jobs.stages import BY_NAME, Stage
from daemon.outbox.estimator import Work, speech_s

#: Pixels of one second of video for which `per_audio_s` is chosen: 1080 × 1080 at 30 frames a second.
USUAL_PIXELS_PER_S = 1080 * 1080 * 30
MB = 1e6  # bytes


def stage_timeout_s(job: Job, stage: Stage, directory: Path, timeout: Timeout) -> float:
    """Return the time limit of one stage of a job, in s. The worker extends it (`Context.allow`) for what only it knows: the
    size of a picture, and how much of a sound file is decoded.

    Args:
        directory: the job's folder, for the sizes of its files.
    """
    match BY_NAME[stage].follows:
        case "nothing":
            return timeout.base_s
        case "results":
            results = (path for path in directory.iterdir() if not path.name.startswith(("source.", ".")))
            return timeout.base_s + timeout.per_mb_s * sum(map(_size, results)) / MB
        case "video":
            return timeout.base_s + timeout.per_audio_s * speech_s(job) * max(
                1.0, 1e6 * Work.of_job(job).megapixels_per_s / USUAL_PIXELS_PER_S
            )
        case "speech" if job.manifest.get("audio") and not job.audio_s:  # its length is known only when it is decoded
            return timeout.base_s + timeout.per_mb_s * _size(directory / copy_name("audio")) / MB
        case "speech":
            return timeout.base_s + timeout.per_audio_s * speech_s(job)


def _size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
