"""The steps of the lipsync stage: measure the speech, shape the mouth, add idle motion, write the motion track."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from daemon.jobs.record import seed_of
from daemon.system import fs
from stages.context import Context, Facts
from stages.facts import MotionFacts
from stages.lipsync import expression_motion, mouth_from_phones, painted_mouth
from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures, measure_audio
from stages.lipsync.engines import warp
from stages.lipsync.engines.base import LipsyncEngine
from stages.lipsync.eye_motion import EyeMotion, add_eye_motion
from stages.lipsync.idle_motion import IdleMotion, add_idle_motion
from stages.lipsync.inner_grid import frame_times
from stages.lipsync.motion_track import MOUTH, PARAMETERS, MotionTrack
from stages.lipsync.mouth_from_sound import mouth_from_sound
from stages.lipsync.unknown_speech import fill_gaps, find_unknown_speech
from stages.lipsync.visemes import VOWELS
from stages.tts.timing import Phone
from stages.tts.timing_file import read_timing

Times = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

#: Fraction of the mouth's motion that remains at expressiveness 0, so that it visibly speaks.
_LEAST_MOUTH = 0.45
#: Fraction of a clear speaker's mouth shapes at expressiveness 1: the average in real videos.
_USUAL_MOUTH = 0.84
#: Up to this the jaw drops as the sound asks; of what is beyond, this fraction remains.
_USUAL_JAW, _BEYOND = 0.8, 0.4
#: Lips can be no rounder than this; farther, a broad mouth would fold.
_MOST_PUCKER = 1.0
#: The least of each parameter of the mouth: only the upper lip moves to the other side, too, as it hangs over the teeth.
_LEAST_SHAPE = np.array([-1.0 if name == "upper_lip" else 0.0 for name in MOUTH], np.float32)
#: Time over which all motion fades to the rest pose at both ends, even if speech starts or stops abruptly.
_END_S = 0.08
_PAUSE_S = 0.12


def make_motion_track(ctx: Context, engine: LipsyncEngine = warp.ENGINE) -> Facts:
    """Write `motion.npz`, have the engine paint the mouths if it does, and return facts for the status.

    If the engine paints the mouth, the motion track moves everything else.

    Raises: see `stages.lipsync.run`.
    """
    audio = measure_audio(ctx.path("speech.wav"))
    timing = read_timing(ctx.path("timing.json"))
    ctx.progress(0.3)
    fps = ctx.manifest.frame_rate
    frames = math.ceil(audio.duration * fps)
    known = timing.method != "energy" and bool(timing.phones)
    phones, motion = timing.phones if known else (), ctx.manifest.motion
    mouth = _from_phones(phones, audio, frames, fps, motion.breath) if known else _from_sound(audio, frames, fps)
    if known and timing.method == "aligned":
        fill_gaps(mouth, _from_sound(audio, frames, fps), find_unknown_speech(phones, audio), fps)
    ctx.progress(0.7)
    values = np.zeros((frames, len(PARAMETERS)), np.float32)
    if engine.paint is None:
        values[:, : len(MOUTH)] = _scale_mouth(mouth, motion.expressiveness)
    ctx.warnings.extend(
        expression_motion.add_expressions(
            values, fps, timing, ctx.manifest.expressions, motion.expressiveness, lips=engine.paint is None
        )
    )
    seed = motion.seed if motion.seed is not None else seed_of(ctx.job_id)
    duration = float(audio.duration)
    accents = _accents(phones) if known else _accents_by_loudness(audio)
    if not len(accents):  # languages without stress: use loudness
        accents = _accents_by_loudness(audio)
    pauses, onsets = _pauses(phones) if known else _pauses_by_loudness(audio)
    idle = IdleMotion(motion.head, motion.brow, motion.breath, motion.expressiveness, seed)
    speech_end = phones[-1].end if known else _last_sound(audio)
    add_idle_motion(values, fps, duration, accents, pauses, idle, speech_end)
    add_eye_motion(values, fps, duration, pauses, onsets, EyeMotion(motion.blink, motion.gaze, seed))
    _rest_at_ends(values, fps, duration)
    MotionTrack(values, fps, seed).save(ctx.path("motion.npz"))
    painted = _paint_mouths(ctx, engine, audio, frames)
    moved: MotionFacts = {"method": "phones" if known else "energy", "frames": frames, "seed": seed}
    return {**painted, **moved}


def _paint_mouths(ctx: Context, engine: LipsyncEngine, audio: AudioFeatures, frames: int) -> Facts:
    """Paint the mouths, or remove those that an earlier attempt with another engine left."""
    if engine.paint is None:
        for name in (painted_mouth.METADATA_FILE, painted_mouth.PIXELS_FILE):
            fs.remove(ctx.path(name))
        return {}
    return engine.paint(ctx, audio, frames)


def _from_phones(
    phones: Sequence[Phone], audio: AudioFeatures, frames: int, fps: Fraction, breath: float
) -> FloatArray:
    duration = float(audio.duration)
    segments = mouth_from_phones.segments_of(phones, duration)
    mouth = mouth_from_phones.mouth_from_segments(segments, audio, frames, fps)
    mouth_from_phones.rest_in_pauses(mouth, segments, fps)
    mouth_from_phones.add_breaths(mouth, segments, fps, breath)
    mouth_from_phones.close_open_mouth(mouth, fps, (phones[0].start, phones[-1].end))
    mouth_from_phones.enforce_touches(mouth, segments, fps)
    return mouth


def _from_sound(audio: AudioFeatures, frames: int, fps: Fraction) -> FloatArray:
    mouth = mouth_from_sound(audio, frames, fps)
    heard = np.flatnonzero(audio.loudness > 0)
    if len(heard):
        mouth_from_phones.close_open_mouth(mouth, fps, (heard[0] / READINGS_PER_S, heard[-1] / READINGS_PER_S))
    return mouth


def _scale_mouth(mouth: FloatArray, amount: float) -> FloatArray:
    """Scale how far the mouth moves; touches (press, tuck, close) keep their full strength."""
    factor = _USUAL_MOUTH * (_LEAST_MOUTH + (1 - _LEAST_MOUTH) * amount)
    scaled = mouth * np.float32(factor)  # the jaw and the lips that bridge its drop alike
    for name in ("press", "tuck", "close", "tongue"):
        scaled[:, MOUTH.index(name)] = mouth[:, MOUTH.index(name)]
    for name in ("jaw", "round"):  # a lively speaker opens more mouths widely, and none as no mouth can
        column = scaled[:, MOUTH.index(name)]
        column -= (1 - _BEYOND) * np.maximum(column - _USUAL_JAW, 0)
    scaled[:, MOUTH.index("pucker")] = np.minimum(scaled[:, MOUTH.index("pucker")], _MOST_PUCKER)
    return np.asarray(np.clip(scaled, _LEAST_SHAPE, 1.3), np.float32)


def _accents(phones: Sequence[Phone]) -> Times:
    """Times of stressed vowels, s."""
    return np.array([phone.start for phone in phones if phone.phone in VOWELS and phone.stress == 1], np.float64)


def _accents_by_loudness(audio: AudioFeatures) -> Times:
    """Return times of the peaks of loudness, s."""
    level = audio.loudness
    peak = (level[1:-1] > 0.6) & (level[1:-1] >= level[:-2]) & (level[1:-1] > level[2:])
    return (np.flatnonzero(peak) + 1) / READINGS_PER_S


def _pauses(phones: Sequence[Phone]) -> tuple[Times, Times]:
    """Return times at which pauses start, and at which phrases start after them, s."""
    found = [(before.end, after.start) for before, after in pairwise(phones) if after.start - before.end > _PAUSE_S]
    starts, ends = zip(*found, strict=True) if found else ((), ())
    return np.array(starts, np.float64), np.array(ends, np.float64)


def _pauses_by_loudness(audio: AudioFeatures) -> tuple[Times, Times]:
    """The same from loudness alone: where silence starts and ends."""
    silent = audio.loudness == 0
    starts, ends = np.flatnonzero(~silent[:-1] & silent[1:]) + 1, np.flatnonzero(silent[:-1] & ~silent[1:]) + 1
    return starts / READINGS_PER_S, ends / READINGS_PER_S


def _last_sound(audio: AudioFeatures) -> float:
    """Return time of the last reading with any sound, s; 0 without."""
    heard = np.flatnonzero(audio.loudness > 0)
    return (float(heard[-1]) + 1) / READINGS_PER_S if len(heard) else 0.0


def _rest_at_ends(values: FloatArray, fps: Fraction, duration: float) -> None:
    """Make the first and the last frame equal to the portrait, so that clips can be joined and looped."""
    time = frame_times(len(values), fps)
    edge = np.clip(np.minimum(time, duration - time) / _END_S, 0, 1).astype(np.float32)
    values *= edge[:, None]
    if len(values):
        values[[0, -1]] = 0.0
