"""Measures features that distinguish music from speech: speech contains hisses, and its pitch follows no scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.tts.timing import STEPS_PER_S, Samples

_FRAME_S = 0.04
#: A sound is a hiss (s, f, t) if most of its power is above this, also over a telephone (up to 3.4 kHz). Hz
_HISS_HZ = 2000.0
#: Power below this is hum and rumble, and is ignored. Hz
_RUMBLE_HZ = 200.0
#: Smallest range between the quartiles of the pitch that is compared with a scale. Semitones
_MONOTONE = 2.0

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def hiss_share(samples: Samples, rate: int, speech: Bools) -> float:
    """Return the share of the speech (bool for each 10 ms) that is hiss. Voices: 0.17 to 0.25, dull ones 0.04; music: 0."""
    size, hop = round(_FRAME_S * rate), rate // STEPS_PER_S
    steps = np.flatnonzero(speech[: max(0, (len(samples) - size) // hop + 1)])
    if not len(steps):
        return 0.0
    hertz = np.fft.rfftfreq(size, 1 / rate)
    window = np.hanning(size)
    count = 0
    for at in np.array_split(steps, len(steps) // 500 + 1):  # in constant memory
        power = np.abs(np.fft.rfft(samples[at[:, None] * hop + np.arange(size)] * window, axis=1)) ** 2
        high = power[:, hertz > _HISS_HZ].sum(axis=1)
        count += int((high > 0.5 * power[:, hertz > _RUMBLE_HZ].sum(axis=1)).sum())
    return count / len(steps)


def scale_likeness(pitch: Floats) -> float:
    """Return how closely pitches (Hz, voiced ones only) follow a scale of semitones of any tuning: 0 not, 1 exactly.

    Voices have at most 0.1, a melody on one instrument 0.6 to 0.9. Returns 0 where the pitch hardly changes.
    """
    if len(pitch) < STEPS_PER_S:
        return 0.0
    notes = 12.0 * np.log2(pitch)
    low, high = np.percentile(notes, [25, 75])
    return float(np.abs(np.exp(2j * np.pi * notes).mean())) if high - low > _MONOTONE else 0.0
