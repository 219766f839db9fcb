"""Adds the motion of a head besides speech: sway, nods, raised brows, breath. All follow from one seed.

Source: nods start a little before their accent (House, Beskow and Granström). `eye_motion` adds blinks and gaze.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stages.lipsync.motion_track import PARAMETERS
from stages.lipsync.mouth_from_phones import frame_times

FloatArray = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

#: Maximum sway of each parameter (degrees, or fractions of the face's width), and the band of its frequencies in Hz.
_SWAY = {"head_yaw": 3.2, "head_pitch": 1.8, "head_roll": 1.3, "head_x": 0.012, "head_y": 0.038, "lean": 0.11}
_SWAY_HZ = (0.09, 0.55)
#: Degrees by which the head tilts when the body leans by one face width.
_TILT_DEG = 14.0
_SWAY_WAVES = 7
#: Time over which motion fades in and out at both ends of the clip.
_EASE_S = 1.0
_NOD_DEG, _NOD_CHANCE, _NOD_GAP_S, _NOD_LEAD_S = 2.4, 0.4, 0.8, 0.08
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


def add_idle_motion(values: FloatArray, fps: Fraction, duration: float, accents: Times, amounts: IdleMotion) -> None:
    """Fill the head and brow columns of a motion track in place.

    Args:
        values: [frames, len(PARAMETERS)].
        fps: frames per second.
        duration: duration of the speech, s.
        accents: times of stressed syllables, s.
        amounts: amounts of each kind of motion, and the seed.
    """
    head = _limit_head(amounts.head)
    streams = [
        np.random.default_rng([amounts.seed, part]) for part in range(3)
    ]  # separate streams: changing one kind of motion leaves the others the same
    time = frame_times(len(values), fps)
    ease = _ease(time, duration, _EASE_S)
    _sway(values, time, ease, head, streams[0])
    nodded = _nods(values, time, ease, accents, head, streams[1])
    _brows(values, time, ease, accents, nodded, amounts.brow * amounts.expressiveness, streams[2])
    breath = (0.5 - 0.5 * np.cos(2 * np.pi * _BREATH_HZ * time)) * ease
    values[:, PARAMETERS.index("breath")] = breath * amounts.breath * min(amounts.head, 1.0)


def _limit_head(amount: float) -> float:
    """Reduce amounts above 1, because a single picture cannot be turned much farther."""
    return amount if amount <= 1 else 1 + 0.4 * (amount - 1)


def _ease(time: Times, duration: float, length: float) -> Times:
    """A smooth envelope: 0 at both ends, 1 in between."""
    edge = np.clip(np.minimum(time, duration - time) / min(length, max(duration / 2, 1e-3)), 0, 1)
    return np.asarray(edge * edge * (3 - 2 * edge), np.float64)


def _sway(values: FloatArray, time: Times, ease: Times, amount: float, chance: np.random.Generator) -> None:
    """Add band-limited sway: a few slow waves of random frequency and phase, slower ones larger."""
    for name, reach in _SWAY.items():
        hertz = np.exp(chance.uniform(math.log(_SWAY_HZ[0]), math.log(_SWAY_HZ[1]), _SWAY_WAVES))
        phase = chance.uniform(0, 2 * np.pi, _SWAY_WAVES)
        size = (1 / hertz) ** 0.5
        wave = sum(s * np.sin(2 * np.pi * h * time + p) for s, h, p in zip(size, hertz, phase, strict=True)) / (
            0.6 * size.sum()
        )
        values[:, PARAMETERS.index(name)] += amount * reach * np.tanh(wave) * ease
    # A head that turns or leans also tilts a little.
    values[:, PARAMETERS.index("head_roll")] += 0.15 * values[:, PARAMETERS.index("head_yaw")]
    values[:, PARAMETERS.index("head_roll")] += _TILT_DEG * values[:, PARAMETERS.index("lean")]


def _bump(time: Times, start: float, rise: float, fall: float) -> Times:
    """A smooth bump: 0 before `start`, 1 after `rise` s, 0 again after `fall` s more."""
    up, down = np.clip((time - start) / rise, 0, 1), np.clip((time - start - rise) / fall, 0, 1)
    smooth_up, smooth_down = up * up * (3 - 2 * up), down * down * (3 - 2 * down)
    return np.asarray(smooth_up - smooth_down, np.float64)


def _nods(
    values: FloatArray, time: Times, ease: Times, accents: Times, amount: float, chance: np.random.Generator
) -> list[float]:
    """Add nods at some accents; returns the times of those accents."""
    nodded: list[float] = []
    for accent in accents.tolist():
        lot, size, side = chance.random(), chance.uniform(0.5, 1.0), chance.normal(0.0, 0.35)
        if lot > _NOD_CHANCE or (nodded and accent - nodded[-1] < _NOD_GAP_S):
            continue
        nodded.append(accent)
        nod = _bump(time, accent - _NOD_LEAD_S - 0.06, 0.18, 0.36) * ease * amount * _NOD_DEG * size
        values[:, PARAMETERS.index("head_pitch")] += nod
        values[:, PARAMETERS.index("head_y")] += 0.0022 * nod
        values[:, PARAMETERS.index("head_yaw")] += side * nod
    return nodded


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
    raised = np.zeros_like(time)
    for accent in accents.tolist():
        lot, size = chance.random(), chance.random()
        if accent in nodded:
            raised = np.maximum(raised, _bump(time, accent - 0.1, 0.14, 0.34) * (0.45 + 0.45 * size))
        elif lot < _BROW_CHANCE:
            raised = np.maximum(raised, _bump(time, accent - 0.08, 0.12, 0.26) * (0.2 + 0.35 * size))
    phase, hertz = chance.uniform(0, 2 * np.pi, 2), chance.uniform(0.12, 0.3, 2)
    for name, p, h in zip(("brow_left", "brow_right"), phase, hertz, strict=True):
        drift = 0.06 * (1 + np.sin(2 * np.pi * h * time + p))
        values[:, PARAMETERS.index(name)] += amount * (raised + drift) * ease
