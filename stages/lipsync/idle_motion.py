"""Adds the motion of a head besides speech: poses, nods, raised brows, breath. All follow from one seed.

Source: nods start a little before their accent (House, Beskow and Granström). `eye_motion` adds blinks and gaze.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stages.face.rig.head_bounds import MOST, REACH
from stages.lipsync.inner_grid import frame_times, frames_between
from stages.lipsync.motion_track import PARAMETERS

FloatArray = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

#: The head takes a new pose when a phrase begins, and holds it: usual size of each part, in parts of its reach.
_POSE = {"head_yaw": 0.6, "head_pitch": 0.7, "head_roll": 0.34, "head_x": 0.08, "head_y": 0.05, "lean": 0.22}
#: A pose is held for so long at least and at most, and taken in so long, s. The first one is taken a little after the start.
_HOLD_S, _TAKE_S, _FIRST_S = (0.8, 2.0), (0.4, 0.65), 0.12
#: While it is held, the head drifts: size in parts of the reach, and the band of its frequencies in Hz.
_DRIFT, _DRIFT_HZ, _DRIFT_WAVES = 0.15, (0.2, 0.9), 5
#: Tilt of a head that turns, in parts of the reach, for the yaw's whole reach: to the other side, so that it turns in place.
_TILT = -0.4
#: Rise of a head that looks down, in parts of the reach, for the pitch's whole reach, so that it turns in place.
_RISE = -0.7
#: The head is never farther out than this part of its reach, which it shares with the breath; from the first number on it is held
#: back softly.
_SOFT, _FARTHEST = 0.74, 0.965
#: Time over which motion fades in at the start, and out in the silence after the speech: at least and at most, s.
_START_S, _END_S = 0.4, (0.3, 0.9)
#: A nod: parts of the reach, how often an accent has one, the rest between two, and how early it starts.
_NOD = {"head_pitch": 1.25, "head_y": 0.35}
_NOD_CHANCE, _NOD_GAP_S, _NOD_LEAD_S = 0.55, 0.7, 0.12
#: Other accents have a smaller beat of the head, some of them upward.
_BEAT, _BEAT_CHANCE, _BEAT_UP = 0.75, 0.95, 0.35
_BROW_CHANCE = 0.85
_BREATH_HZ = 0.25


@dataclass(frozen=True)
class IdleMotion:
    """Amounts of each kind of motion, from the manifest (1 is natural, 0 is none), and the seed."""

    head: float
    brow: float
    breath: float
    expressiveness: float
    seed: int


def add_idle_motion(
    values: FloatArray,
    fps: Fraction,
    duration: float,
    accents: Times,
    pauses: Times,
    amounts: IdleMotion,
    speech_end: float,
) -> None:
    """Fill the head and brow columns of a motion track in place.

    Args:
        values: [frames, len(PARAMETERS)].
        fps: frames per second.
        duration: duration of the speech, s.
        accents: times of stressed syllables, s.
        amounts: amounts of each kind of motion, and the seed.
        speech_end: time at which the speech ends, s: until then nothing fades out, but for the last tenths of a second.
    """
    head = _limit_head(amounts.head)
    streams = [
        np.random.default_rng([amounts.seed, part]) for part in range(3)
    ]  # separate streams: changing one kind of motion leaves the others the same
    time = frame_times(len(values), fps)
    ease = _ease(time, duration, speech_end)
    poses = _poses(time, duration, accents, pauses, streams[0])
    beats, nodded = _beats(time, accents, streams[1])
    for name, part in _held_back(poses, beats).items():
        values[:, PARAMETERS.index(name)] += head * REACH[name] * part * ease
    _brows(values, time, ease, accents, nodded, amounts.brow * amounts.expressiveness, streams[2])
    breath = (0.5 - 0.5 * np.cos(2 * np.pi * _BREATH_HZ * time)) * ease
    values[:, PARAMETERS.index("breath")] = breath * amounts.breath * min(amounts.head, 1.0)


def _limit_head(amount: float) -> float:
    """Reduce amounts above 1, because a single picture cannot be turned much farther: the largest, 2, becomes `MOST`."""
    return amount if amount <= 1 else 1 + (MOST - 1) * (amount - 1)


def _ease(time: Times, duration: float, speech_end: float) -> Times:
    """Return a smooth envelope: 0 at both ends, 1 while there is speech, but for the last tenths of a second."""
    end = float(np.clip(duration - speech_end, *_END_S))
    rise = np.clip(time / min(_START_S, max(duration / 2, 1e-3)), 0, 1)
    fall = np.clip((duration - time) / min(end, max(duration / 2, 1e-3)), 0, 1)
    return _smooth(rise) * _smooth(fall)


def _smooth(part: Times) -> Times:
    """Return the course of a reaching movement from 0 to 1: speed and acceleration are 0 at both ends."""
    return np.asarray(part**3 * (10 - 15 * part + 6 * part * part), np.float64)


def _poses(
    time: Times, duration: float, accents: Times, pauses: Times, chance: np.random.Generator
) -> dict[str, Times]:
    """Poses that the head takes and holds with a small drift, in parts of the reach."""
    moves = {name: np.zeros_like(time) for name in _POSE}
    steps = {name: np.zeros(len(time) + 1) for name in _POSE}  # from this frame on the pose is held
    before = dict.fromkeys(_POSE, 0.0)
    side = chance.choice([-1.0, 1.0])
    for start in _pose_times(duration, accents, pauses, chance):
        length = chance.uniform(*_TAKE_S)
        size = 0.6 if duration - start < _HOLD_S[1] else 1.0  # the way back to rest is short
        taking = frames_between(time, start, start + length)
        taken = _smooth(np.clip((time[taking] - start) / length, 0, 1))
        side = -side if chance.random() < 0.75 else side  # mostly to the other side: the head does not wander off
        pose = {
            name: usual * size * chance.uniform(0.5, 1.4) * (side if name == "head_yaw" else chance.choice([-1.0, 1.0]))
            for name, usual in _POSE.items()
        }
        pose["head_roll"] += _TILT * pose["head_yaw"]
        pose["head_y"] += _RISE * pose["head_pitch"]
        for name, target in pose.items():
            moves[name][taking] += (target - before[name]) * taken
            steps[name][taking.stop] += target - before[name]
        before = pose
    for name, move in moves.items():
        move += np.cumsum(steps[name][:-1])
        hertz = np.exp(chance.uniform(math.log(_DRIFT_HZ[0]), math.log(_DRIFT_HZ[1]), _DRIFT_WAVES))
        phase = chance.uniform(0, 2 * np.pi, _DRIFT_WAVES)
        waves = np.sin(2 * np.pi * hertz * time[:, None] + phase)
        move += _DRIFT * waves.sum(axis=1) / math.sqrt(_DRIFT_WAVES / 2)
    return moves


def _pose_times(duration: float, accents: Times, pauses: Times, chance: np.random.Generator) -> list[float]:
    """Choose when the head takes a new pose, s: in the pause before a phrase, and in a long phrase at an accent."""
    times = [_FIRST_S]
    while True:
        soonest, latest = times[-1] + _HOLD_S[0], times[-1] + chance.uniform(_HOLD_S[0] + 0.4, _HOLD_S[1])
        phrase = pauses[np.searchsorted(pauses, soonest, "right") :][:1]
        accent = accents[np.searchsorted(accents, latest - 0.1, "right") :][:1]
        in_phrase = len(phrase) and phrase[0] < latest
        after = float(phrase[0]) if in_phrase else float(accent[0]) - 0.1 if len(accent) else latest
        if after > duration - 0.8:
            return times
        times.append(after)


def _bump(time: Times, start: float, rise: float, fall: float) -> tuple[slice, Times]:
    """Return the frames of a smooth bump (0 before `start`, 1 after `rise` s, 0 after `fall` s more) and its course there."""
    inside = frames_between(time, start, start + rise + fall)
    since = time[inside] - start
    return inside, _smooth(np.clip(since / rise, 0, 1)) - _smooth(np.clip((since - rise) / fall, 0, 1))


def _beats(time: Times, accents: Times, chance: np.random.Generator) -> tuple[dict[str, Times], list[float]]:
    """Nods and smaller beats of the head at accents, in parts of the reach; also returns the times of the accents with a nod."""
    moves = {name: np.zeros_like(time) for name in (*_NOD, "head_yaw", "head_roll")}
    nodded: list[float] = []
    for accent in accents.tolist():
        lot, size, side, way = chance.random(), chance.uniform(0.55, 1.0), chance.normal(0.0, 0.3, 2), chance.random()
        nods = lot < _NOD_CHANCE and not (nodded and accent - nodded[-1] < _NOD_GAP_S)
        if nods:
            nodded.append(accent)
        elif lot < _BEAT_CHANCE:
            size *= -_BEAT if way < _BEAT_UP else _BEAT
        else:
            continue
        rise, fall = chance.uniform(0.2, 0.25), chance.uniform(0.32, 0.44)
        inside, course = _bump(time, accent - _NOD_LEAD_S - 0.08, rise, fall)
        beat = course * size
        for name, part in (*_NOD.items(), *zip(("head_yaw", "head_roll"), side.tolist(), strict=True)):
            moves[name][inside] += part * beat
    return moves, nodded


def _held_back(*motions: dict[str, Times]) -> dict[str, Times]:
    """Add motions, in parts of the reach, and hold the head back softly where it would go too far."""
    names = list(dict.fromkeys(name for motion in motions for name in motion))
    added = np.stack([sum((motion[name] for motion in motions if name in motion), np.zeros(1)) for name in names])
    length = np.linalg.norm(added, axis=0)
    room = _FARTHEST - _SOFT
    held = np.where(length < _SOFT, length, _SOFT + room * np.tanh((length - _SOFT) / room))
    return dict(zip(names, added * (held / np.maximum(length, 1e-9)), strict=True))


def _brows(
    values: FloatArray,
    time: Times,
    ease: Times,
    accents: Times,
    nodded: list[float],
    amount: float,
    chance: np.random.Generator,
) -> None:
    """Raise the brows at accents, higher at those with a nod, and let them drift a little in between."""
    raised, with_nod = np.zeros_like(time), set(nodded)
    for accent in accents.tolist():
        lot, size = chance.random(), chance.random()
        if accent in with_nod:
            (inside, course), height = _bump(time, accent - 0.1, 0.14, 0.34), 0.45 + 0.45 * size
        elif lot < _BROW_CHANCE:
            (inside, course), height = _bump(time, accent - 0.08, 0.12, 0.26), 0.2 + 0.35 * size
        else:
            continue
        np.maximum(raised[inside], course * height, out=raised[inside])
    phase, hertz = chance.uniform(0, 2 * np.pi, 2), chance.uniform(0.12, 0.3, 2)
    for name, p, h in zip(("brow_left", "brow_right"), phase, hertz, strict=True):
        drift = 0.06 * (1 + np.sin(2 * np.pi * h * time + p))
        values[:, PARAMETERS.index(name)] += amount * (raised + drift) * ease
