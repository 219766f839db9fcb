"""The steps of the lipsync stage: listen, shape the mouth, enforce its touches, add life, write the track."""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.errors import UnknownError
from daemon.system import fs
from stages.context import Context, Facts
from stages.lipsync import mouth_from_phones, painted_mouth
from stages.lipsync.audio_features import RATE, Sound, listen
from stages.lipsync.engines import warp
from stages.lipsync.engines.base import LipsyncEngine
from stages.lipsync.idle_motion import Liveliness, enliven
from stages.lipsync.motion_track import MOUTH, NAMES, Track
from stages.lipsync.mouth_from_sound import mouth_of_sound
from stages.lipsync.unknown_speech import fill, unknown_speech
from stages.lipsync.visemes import VOWELS

Times = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

#: At expressiveness 0 the mouth still moves by this part: it must be seen to speak.
_LEAST_MOUTH = 0.45
#: At expressiveness 1, of the shapes that a clear speaker makes: what real videos show on average.
_USUAL_MOUTH = 0.84
#: The mouth comes to the rest pose over this at both ends, even where the sound starts or stops in full speech.
_END_S = 0.08
_PAUSE_S = 0.12


def make_track(ctx: Context, engine: LipsyncEngine = warp.ENGINE) -> Facts:
    """See `stages.lipsync.run`. Where the engine paints the mouth, the track moves all but it."""
    sound = listen(ctx.path("speech.wav"))
    timing = _timing(ctx)
    ctx.progress(0.3)
    fps = ctx.manifest.frame_rate
    frames = math.ceil(sound.duration * fps)
    known = timing["method"] != "energy" and bool(timing["phones"])
    phones, motion = timing["phones"] if known else [], ctx.manifest.motion
    mouth = _from_phones(phones, sound, frames, fps, motion.breath) if known else _from_sound(sound, frames, fps)
    if known and timing["method"] == "aligned":
        fill(mouth, _from_sound(sound, frames, fps), unknown_speech(phones, sound), fps)
    ctx.progress(0.7)
    values = np.zeros((frames, len(NAMES)), np.float32)
    if engine.paint is None:
        values[:, : len(MOUTH)] = _express(mouth, motion.expressiveness)
    seed = motion.seed if motion.seed is not None else _seed(ctx.job_id)
    accents, pauses = _marks(phones) if known else _peaks(sound)
    if not len(accents):  # languages without stress: what is loud stands out
        accents = _peaks(sound)[0]
    enliven(
        values, fps, float(sound.duration), accents, pauses,
        Liveliness(motion.head, motion.blink, motion.brow, motion.breath, motion.expressiveness, seed),
    )  # fmt: skip
    _rest_at_ends(values, fps, float(sound.duration))
    Track(values, fps, seed).save(ctx.path("motion.npz"))
    return {
        **_painted(ctx, engine, sound, frames),
        "method": "phones" if known else "energy",
        "frames": frames,
        "seed": seed,
    }


def _painted(ctx: Context, engine: LipsyncEngine, sound: Sound, frames: int) -> Facts:
    """The painted mouths, or none; an earlier try with the other engine may have left some."""
    if engine.paint is None:
        for name in (painted_mouth.REST, painted_mouth.PIXELS):
            fs.remove(ctx.path(name))
        return {}
    return engine.paint(ctx, sound, frames)


def _timing(ctx: Context) -> dict[str, Any]:
    try:
        timing = json.loads(ctx.path("timing.json").read_bytes())
        return {"method": timing["method"], "phones": list(timing["phones"])}
    except (ValueError, KeyError, TypeError) as exc:
        raise UnknownError("timing-unreadable", f"timing.json cannot be read ({exc}).", "Retry the job.") from exc


def _seed(job_id: str) -> int:
    """A job's own seed: the same job moves the same way when it is run again."""
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big") >> 1


def _from_phones(phones: list[dict[str, Any]], sound: Sound, frames: int, fps: Fraction, breath: float) -> FloatArray:
    duration = float(sound.duration)
    segments = mouth_from_phones.segments_of(phones, duration)
    course = mouth_from_phones.blend(segments, duration)
    mouth_from_phones.scale_by_voice(course, sound)
    mouth = mouth_from_phones.to_frames(mouth_from_phones.smooth_columns(course), frames, fps)
    mouth_from_phones.settle(mouth, segments, fps)
    mouth_from_phones.inhale(mouth, segments, fps, breath)
    mouth_from_phones.hold_closed(mouth, fps, (float(phones[0]["start"]), float(phones[-1]["end"])))
    mouth_from_phones.seal(mouth, segments, fps)
    return mouth


def _from_sound(sound: Sound, frames: int, fps: Fraction) -> FloatArray:
    mouth = mouth_from_phones.to_frames(mouth_of_sound(sound), frames, fps)
    heard = np.flatnonzero(sound.loudness > 0)
    if len(heard):
        mouth_from_phones.hold_closed(mouth, fps, (heard[0] / RATE, heard[-1] / RATE))
    return mouth


def _express(mouth: FloatArray, amount: float) -> FloatArray:
    """Scale how far the mouth moves; its touches (press, tuck, close) stay touches."""
    factor = _USUAL_MOUTH * (_LEAST_MOUTH + (1 - _LEAST_MOUTH) * amount)
    scaled = mouth * np.float32(factor)
    for name in ("press", "tuck", "close", "tongue"):
        scaled[:, MOUTH.index(name)] = mouth[:, MOUTH.index(name)]
    return np.clip(scaled, 0, 1.3)


def _marks(phones: list[dict[str, Any]]) -> tuple[Times, Times]:
    """Times of the stressed vowels, and of the starts of pauses."""
    accents = [p["start"] for p in phones if p["phone"] in VOWELS and int(p.get("stress") or 0) == 1]
    pauses = [before["end"] for before, after in pairwise(phones) if after["start"] - before["end"] > _PAUSE_S]
    return np.array(accents, np.float64), np.array(pauses, np.float64)


def _peaks(sound: Sound) -> tuple[Times, Times]:
    """The same from loudness alone: its peaks, and where it falls silent."""
    level = sound.loudness
    if len(level) < 3:
        return np.zeros(0), np.zeros(0)
    peak = (level[1:-1] > 0.6) & (level[1:-1] >= level[:-2]) & (level[1:-1] > level[2:])
    silent = level == 0
    falls = np.flatnonzero(~silent[:-1] & silent[1:]) + 1
    return (np.flatnonzero(peak) + 1) / RATE, falls / RATE


def _rest_at_ends(values: FloatArray, fps: Fraction, duration: float) -> None:
    """The first and the last frame are the portrait itself, so that clips can be joined and looped."""
    time = mouth_from_phones.frame_times(len(values), fps)
    edge = np.clip(np.minimum(time, duration - time) / _END_S, 0, 1).astype(np.float32)
    values *= edge[:, None]
    if len(values):
        values[[0, -1]] = 0.0
