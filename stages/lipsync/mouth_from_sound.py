"""Computes mouth parameters from the sound alone, for speech whose words are not known.

Loudness opens the jaw. The distribution of energy tells open vowels from close ones, front vowels (spread lips) from back vowels
(rounded lips), humming (lips nearly closed) and hissing (teeth together). Touches of the lips cannot be detected.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures
from stages.lipsync.inner_grid import GRID_PER_S, to_frames
from stages.lipsync.motion_track import MOUTH

FloatArray = npt.NDArray[np.float32]

#: Mouths open within about 30 ms and close within about 70 ms.
_OPEN_S, _CLOSE_S = 0.030, 0.070
#: Parameters are smoothed over time by this sigma. s
_SMOOTH_S = 0.02
#: The part of the jaw's drop that opens rounded lips.
_ROUND_PART = 0.6


def mouth_from_sound(audio: AudioFeatures, frames: int, fps: Fraction) -> FloatArray:
    """Compute the mouth's parameters, [frames, len(MOUTH)]."""
    level = _attack_and_release(np.clip(audio.loudness, 0, 1.15))

    def course(first: int, stop: int) -> FloatArray:
        # The grid goes a little beyond the last reading, whose mouth stays.
        start = min(first * READINGS_PER_S // GRID_PER_S, len(level) - 1)
        near = slice(start, stop * READINGS_PER_S // GRID_PER_S + 2)
        readings = _mouths(level[near], audio.bands[near])
        time = np.arange(first, stop) / GRID_PER_S
        known = np.arange(start, start + len(readings)) / READINGS_PER_S
        fine = np.stack([np.interp(time, known, column) for column in readings.T], axis=1)
        return fine.astype(np.float32)

    if not len(level):
        return np.zeros((frames, len(MOUTH)), np.float32)
    return to_frames(course, _SMOOTH_S, float(audio.duration), frames, fps)


def _mouths(level: FloatArray, bands: FloatArray) -> FloatArray:
    """Compute the mouth at each reading of the sound, [readings, len(MOUTH)], from its loudness and its bands' energy."""
    base, close, open_, front, hiss = (bands[:, band] for band in range(5))
    voiced = base + close + open_ + front + 1e-9
    openness = np.clip(1.6 * open_ / (open_ + close + 0.15 * base + 1e-9), 0, 1)
    frontness = np.clip(1.8 * front / (front + open_ + 0.003 * voiced), 0, 1)
    humming = np.clip(1.6 - 40.0 * (open_ + 3 * front) / voiced, 0, 1)  # as through closed lips
    hissing = np.clip(1.5 * hiss / (voiced + hiss) - 0.25, 0, 1)
    spread = np.clip(frontness - 0.25, 0, 1) * (1 - 0.5 * openness)
    rounded = np.clip(0.75 - 2 * frontness, 0, 1) * (1 - 0.7 * openness)
    drop = level * (0.26 + 0.55 * openness) * (1 - 0.75 * hissing) * (1 - 0.7 * humming)
    course = {
        "jaw": drop * (1 - _ROUND_PART * rounded),
        "round": drop * _ROUND_PART * rounded,
        "lower_lip": np.minimum(1.5 * level, 1) * (0.30 + 0.25 * hissing) * (1 - 0.6 * humming),
        "upper_lip": np.minimum(1.5 * level, 1) * (0.18 + 0.2 * hissing) * (1 - 0.8 * humming),
        "wide": np.minimum(1.6 * level, 1) * (0.75 * spread + 0.3 * hissing),
        "pucker": np.minimum(1.6 * level, 1) * 0.60 * rounded * (1 - hissing),
        "tongue": 0.2 + 0.4 * spread,
    }
    return np.stack([course.get(name, np.zeros_like(level)) for name in MOUTH], axis=1)


def _attack_and_release(level: FloatArray) -> FloatArray:
    """Smooth `level` with the time constant _OPEN_S where it rises and _CLOSE_S where it falls."""
    rise, fall = 1 - np.exp(-1 / (READINGS_PER_S * _OPEN_S)), 1 - np.exp(-1 / (READINGS_PER_S * _CLOSE_S))
    followed = np.empty_like(level)
    now = 0.0
    for index, target in enumerate(level.tolist()):
        now += (target - now) * (rise if target > now else fall)
        followed[index] = now
    return followed
