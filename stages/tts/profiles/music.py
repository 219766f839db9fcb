"""What tells music from speech, as far as it can be measured: speech hisses between its vowels, and its pitch knows no scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.tts.timing import STEPS_PER_S, Samples

_FRAME_S = 0.04
#: A sound hisses where most of it is above this: s, f, t, also over a telephone (which ends at 3.4 kHz). Hz
_HISS_HZ = 2000.0
#: Hum and rumble are below this, and of no person. Hz
_RUMBLE_HZ = 200.0
#: Quarters of a voice's pitches this near to one another are no melody, and may stand anywhere on a scale. Semitones
_MONOTONE = 2.0

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def hiss_share(samples: Samples, rate: int, speech: Bools) -> float:
    """Share of the speech (flags of 10 ms) that hisses. Voices: 0.17 to 0.25, dull ones 0.04; music: 0."""
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
    """How near the pitches (Hz, only voiced ones) stand to a scale of semitones, wherever it begins: 0 anywhere, 1 on it.

    Voices: 0.1 at most; a melody on one instrument 0.6 to 0.9. 0 where the pitch hardly moves.
    """
    if len(pitch) < STEPS_PER_S:
        return 0.0
    notes = 12.0 * np.log2(pitch)
    low, high = np.percentile(notes, [25, 75])
    return float(np.abs(np.exp(2j * np.pi * notes).mean())) if high - low > _MONOTONE else 0.0
