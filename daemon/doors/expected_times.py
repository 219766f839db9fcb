"""Expects how long a job would take, stage by stage, before it is handed in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import estimated_s, minutes_or_seconds
from daemon.jobs.stages import Stage
from daemon.outbox.estimates.learned_times import Conditions, LearnedTimes
from daemon.outbox.estimator import USUAL_SIDE_PX, Work
from daemon.telemetry.state_file import learned_times, read_state

if TYPE_CHECKING:
    from stages.info.tracks import VideoTrack

#: What takes less is not told in seconds. s
_TOLD_S = 1.0


def expected_times(manifest: Manifest, files: Mapping[str, Path], settings: Settings) -> dict[str, Any]:
    """Return what `avatar validate` says of the time of a job, without waiting in queues.

    Args:
        files: the files that the manifest names, by its key.

    Returns:
        `speech_s`: expected length of the speech, s; None where a recording does not declare its own. `stages`: run time of
        each stage, s. `total_s`: their sum, s. `learned`: whether a daemon of this configuration has measured stages, or else
        these are first guesses for a machine of two cores.
    """
    speech_s = _speech_s(manifest, files.get("audio"))
    source = _source(files["video"], settings) if "transcode" in manifest.stages and "video" in files else None
    learned = learned_times(read_state(settings.paths.spool / "state.json"))
    size = _frame_size(manifest, files.get("image"), settings)
    if source is not None:
        size = (source.width, source.height) if manifest.size is None else size
        work = Work.of_video(float(source.times.duration), size, source.rate)
    else:
        work = Work.of_video(speech_s or 0.0, size, manifest.frame_rate)
    known = {stage: learned.expect(conditions_of(stage, work, learned)) for stage in manifest.stages}
    stages = {stage: round(work.first_guess_s(stage) * found.factor, 2) for stage, found in known.items()}
    return {
        "speech_s": None if speech_s is None else round(speech_s, 1),
        "stages": stages,
        "total_s": round(sum(stages.values()), 1),
        "learned": any(found.jobs for found in known.values()),
    }


def conditions_of(stage: Stage, work: Work, learned: LearnedTimes, engine: str = "") -> Conditions:
    """Return the conditions under which a stage is expected to run: with the engine that ran last, unless one is given."""
    return Conditions.of(stage, work.first_guess_s(stage), *learned.usual(stage, engine))


def describe_times(expected: dict[str, Any]) -> str:
    """Return the same as a sentence for people."""
    speech = expected["speech_s"]
    said = (
        "speech of unknown length"
        if speech is None
        else "no speech"
        if not speech
        else f"about {minutes_or_seconds(speech)} of speech"
        if speech >= _TOLD_S
        else "less than a second of speech"
    )
    stages = ", ".join(
        f"{stage} {minutes_or_seconds(seconds)}" for stage, seconds in expected["stages"].items() if seconds >= _TOLD_S
    )
    basis = "as measured here" if expected["learned"] else "first guesses, as nothing that was measured here is known"
    total = expected["total_s"]
    work = f"about {minutes_or_seconds(total)}" if total >= _TOLD_S else "less than a second"
    return f"{said}; {work} of work{f' ({stages})' if stages else ''}, {basis}"


def _speech_s(manifest: Manifest, recording: Path | None) -> float | None:
    if "tts" not in manifest.stages:
        return 0.0
    if recording is not None:
        from stages.media.declared_length import declared_s

        with contextlib.suppress(MachineError, OSError):  # no ffmpeg, or no file
            return declared_s(recording)
        return None
    return estimated_s(manifest.text or "", manifest.speed)


def _source(video: Path, settings: Settings) -> VideoTrack | None:
    """Return the picture track of a video that is to be converted; None where it cannot be read here."""
    from stages.info.read_media import probe_media

    with contextlib.suppress(MachineError, OSError):
        media = probe_media(video, settings.stages.transcode.memory_mb)
        return media.videos[0] if media is not None and media.videos else None
    return None


def _frame_size(manifest: Manifest, portrait: Path | None, settings: Settings) -> tuple[int, int]:
    """Return width and height of the video, px: from the size of the picture, without looking for the face in it."""
    from PIL import Image

    from stages.face.output_frame import choose_output_frame, parse_pair

    size, aspect = parse_pair(manifest.size, "x"), parse_pair(manifest.aspect, ":")
    if portrait is None or not manifest.kind_of_job.draws:
        return size or (USUAL_SIDE_PX, USUAL_SIDE_PX)
    try:
        with Image.open(portrait) as picture:
            sides = picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return size or (USUAL_SIDE_PX, USUAL_SIDE_PX)
    middle = (sides[0] / 2, sides[1] / 2)
    frame = choose_output_frame(sides, middle, size, aspect, settings.stages.face.max_side_px, fit="crop")
    if manifest.quality_or_usual == "draft":
        frame = frame.halved()
    return frame.video_width, frame.video_height
