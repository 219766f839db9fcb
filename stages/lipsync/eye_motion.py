"""Adds the motion of the eyes: blinks and gaze. All follow from one seed.

Sources: gaps between blinks are log-normal, a lid closes in 80 ms and opens in 150 ms, one blink in seven is doubled (Trutoiu
2011 on full, asymmetric closure). Eyes jump between fixations in 20 to 80 ms, longer for larger jumps (Bahill 1975); speakers
look away while they plan a phrase and back at its start (Kendon 1967); and eyes that look at something turn against the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stages.lipsync.inner_grid import frame_times, frames_between
from stages.lipsync.motion_track import PARAMETERS

FloatArray = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

_BLINK_MEAN_S, _BLINK_SPREAD, _BLINK_MIN_S, _DOUBLE_CHANCE = 3.3, 0.45, 0.9, 0.15
_BLINK_CLOSE_S, _BLINK_HOLD_S, _BLINK_OPEN_S = 0.08, 0.04, 0.16
#: Length of fixations, s: log-normal, and limited.
_FIXATION_S, _FIXATION_SPREAD, _FIXATION_LIMITS_S = 0.8, 0.5, (0.3, 2.0)
#: Spread of the fixations around the camera, across and down, in fractions of the eye's width.
_AROUND = (0.02, 0.008)
#: A look away: chance at a pause and at the end of a fixation in a phrase, how far across (least, most) and down.
_AWAY_AT_PAUSE, _AWAY_IN_PHRASE, _AWAY, _AWAY_DOWN = 0.8, 0.12, (0.06, 0.13), (-0.005, 0.04)
#: Duration of a jump: a fixed part, and s for each eye width; the longest.
_JUMP_S, _JUMP_S_PER_WIDTH, _JUMP_MOST_S = 0.022, 0.55, 0.08
#: Turn of the eyes, in eye widths, for each degree that the head turns away; an eyeball's radius is 0.4 eye widths.
_AGAINST_HEAD = 0.006
#: At both ends of the clip the eyes look as in the portrait for so long, s.
_STILL_S = 0.3


@dataclass(frozen=True)
class EyeMotion:
    """Amounts of blinks and gaze, from the manifest (1 is natural, 0 is none), and the seed."""

    blink: float
    gaze: float
    seed: int


def add_eye_motion(
    values: FloatArray, fps: Fraction, duration: float, pauses: Times, onsets: Times, amounts: EyeMotion
) -> None:
    """Fill the lid and gaze columns of a motion track in place. The head's columns are read: they must be filled.

    Args:
        values: [frames, len(PARAMETERS)].
        fps: frames per second.
        duration: duration of the speech, s.
        pauses: times at which pauses start, s.
        onsets: times at which phrases start after pauses, s.
        amounts: amounts of blinks and gaze, and the seed.
    """
    time = frame_times(len(values), fps)
    _blinks(values, time, duration, pauses, amounts.blink, np.random.default_rng([amounts.seed, 3]))
    _gaze(values, time, duration, pauses, onsets, amounts.gaze, np.random.default_rng([amounts.seed, 16]))


def _blinks(
    values: FloatArray, time: Times, duration: float, pauses: Times, amount: float, chance: np.random.Generator
) -> None:
    if amount <= 0:
        return
    lids = np.zeros_like(time)
    frame = float(time[1] - time[0]) if len(time) > 1 else 0.0
    hold = max(_BLINK_HOLD_S, 1.02 * frame)  # the lids stay closed for at least one frame
    for start in _blink_times(duration, pauses, amount, chance):
        inside = frames_between(time, start, start + _BLINK_CLOSE_S + hold + _BLINK_OPEN_S)
        np.maximum(lids[inside], _blink(time[inside] - start, hold), out=lids[inside])
    lids[lids < 0.02] = 0.0
    values[:, PARAMETERS.index("blink_left")] = lids
    values[:, PARAMETERS.index("blink_right")] = lids


def _blink(since: Times, hold_s: float) -> Times:
    """Return the course of one blink, at times since its start."""
    down = np.clip(since / _BLINK_CLOSE_S, 0, 1)
    up = np.clip((since - _BLINK_CLOSE_S - hold_s) / _BLINK_OPEN_S, 0, 1)
    return np.asarray(down**1.5 - up * (2 - up), np.float64)


def _blink_times(duration: float, pauses: Times, amount: float, chance: np.random.Generator) -> list[float]:
    """Choose the start times of the blinks, s; a blink near a pause starts with the pause."""
    length = _BLINK_CLOSE_S + _BLINK_HOLD_S + _BLINK_OPEN_S
    mean = _BLINK_MEAN_S / amount
    starts: list[float] = []
    clock = chance.uniform(0.3, 0.8) * mean
    while clock < duration - length - 0.25:
        near = pauses[np.searchsorted(pauses, clock - 0.4, "right") :][:1]
        start = float(near[0]) if len(near) and near[0] < clock + 0.4 else clock
        if start > 0.25 and start < duration - length - 0.25 and (not starts or start - starts[-1] > 0.5):
            starts.append(start)
            if chance.random() < _DOUBLE_CHANCE and start + 2 * length + 0.3 < duration:
                starts.append(start + length + 0.06)
        gap = mean * float(np.exp(chance.normal(-(_BLINK_SPREAD**2) / 2, _BLINK_SPREAD)))
        clock = max(starts[-1] if starts else clock, clock) + max(gap, _BLINK_MIN_S)
    return starts


def _gaze(
    values: FloatArray,
    time: Times,
    duration: float,
    pauses: Times,
    onsets: Times,
    amount: float,
    chance: np.random.Generator,
) -> None:
    if amount <= 0:
        return
    fixations = _fixations(duration, pauses, onsets, chance)
    end = np.clip(np.minimum(time, duration - time) / _STILL_S, 0, 1)
    for axis, (name, turned) in enumerate((("gaze_x", "head_yaw"), ("gaze_y", "head_pitch"))):
        course, steps = np.zeros_like(time), np.zeros(len(time) + 1)
        for (_, before), (start, after) in pairwise(fixations):
            way = np.hypot(after[0] - before[0], after[1] - before[1])
            jump = min(_JUMP_S + _JUMP_S_PER_WIDTH * way, _JUMP_MOST_S)
            inside = frames_between(time, start, start + jump)
            part = np.clip((time[inside] - start) / jump, 0, 1)
            course[inside] += (after[axis] - before[axis]) * part * part * (3 - 2 * part)
            steps[inside.stop] += after[axis] - before[axis]  # from this frame on they look there
        course += np.cumsum(steps[:-1])
        against = _AGAINST_HEAD * values[:, PARAMETERS.index(turned)]
        values[:, PARAMETERS.index(name)] = amount * (course - against) * end


def _fixations(
    duration: float, pauses: Times, onsets: Times, chance: np.random.Generator
) -> list[tuple[float, tuple[float, float]]]:
    """Choose start time, s, and place, in eye widths, of every fixation: at the camera in phrases, often away in pauses.

    The first and the last one are the portrait's own gaze.
    """
    camera = (0.0, 0.0)
    side = chance.choice([-1.0, 1.0])  # most people look away to one side more than to the other
    fixations = [(0.0, camera)]
    clock = _STILL_S + _length(chance)
    while clock < duration - _STILL_S:
        last = fixations[-1][0]
        pause = pauses[np.searchsorted(pauses, last + 0.15, "right") : np.searchsorted(pauses, clock + 0.1, "right")]
        if len(pause):
            clock = max(float(pause[0]) + chance.uniform(-0.08, 0.12), last + 0.2)
        if chance.random() < (_AWAY_AT_PAUSE if len(pause) else _AWAY_IN_PHRASE):
            toward = side if chance.random() < 0.7 else -side
            fixations.append((clock, (toward * chance.uniform(*_AWAY), chance.uniform(*_AWAY_DOWN))))
            later = onsets[np.searchsorted(onsets, clock, "right") :][:1]
            back = float(later[0]) + chance.uniform(-0.1, 0.25) if len(pause) and len(later) else np.inf
            clock = max(min(back, clock + _length(chance)), clock + 0.2)
            if clock < duration - _STILL_S:
                fixations.append((clock, _near(camera, chance)))
        else:
            fixations.append((clock, _near(camera, chance)))
        clock += _length(chance)
    fixations.append((max(duration - 1.5 * _STILL_S, fixations[-1][0] + 0.1), camera))
    return fixations


def _length(chance: np.random.Generator) -> float:
    return float(np.clip(_FIXATION_S * np.exp(chance.normal(0, _FIXATION_SPREAD)), *_FIXATION_LIMITS_S))


def _near(place: tuple[float, float], chance: np.random.Generator) -> tuple[float, float]:
    return place[0] + chance.normal(0, _AROUND[0]), place[1] + chance.normal(0, _AROUND[1])
