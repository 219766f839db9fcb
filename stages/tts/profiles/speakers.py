"""Detects a second speaker by the timbre of vowels, which differs even between people of the same pitch.

Cepstral coefficients describe the voiced sounds of each phrase and depend on the shape of the vocal tract. Phrases of one
person vary around one mean; those of two people form two groups whose distance exceeds the variation within them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.tts.timing import STEPS_PER_S, Samples

_FRAME_S = 0.04
#: Lowest and highest frequency (Hz) and number of mel bands; number of cepstral coefficients, without that of the level.
_LOWEST_HZ, _HIGHEST_HZ, _BANDS, _COEFFICIENTS = 100.0, 7600.0, 32, 14
#: Length of the parts of a phrase, because two people may speak without a pause; least voiced time of a used part. s
_PART_S, _LEAST_S = 2.5, 0.25
#: Lowest share of the smaller group.
_SHARE = 0.15
#: Number of steps at which the distance is halved; means of few steps vary by chance.
_CHANCE_STEPS = 100
_TINY = 1e-7

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def speaker_distance(samples: Samples, rate: int, pitch: Floats, phrases: Sequence[tuple[int, int]]) -> float:
    """Return the squared distance of the two likeliest groups of phrases, in units of the variation of their sounds.

    Args:
        samples: float32 [n].
        rate: Hz.
        pitch: Hz for each 10 ms, 0 where there is none.
        phrases: first step and end of each, in steps of 10 ms.

    Measured with kokoro's voices, 5 to 20 s of each: 0.3 to 0.6 for one person, 1.5 for one who whispers over a telephone;
    two of one gender 3 to 12, and above 2 in 97 of 100 pairs.
    """
    shapes = _cepstra(samples, rate, np.flatnonzero(pitch > 0), len(pitch))
    parts = [
        part[np.isfinite(part).all(axis=1)]
        for first, last in phrases
        for part in np.array_split(shapes[first:last], max(1, round((last - first) / (_PART_S * STEPS_PER_S))))
    ]
    parts = [part for part in parts if len(part) >= _LEAST_S * STEPS_PER_S]
    if len(parts) < 2:
        return 0.0
    counts = np.array([len(part) for part in parts], np.float64)
    means = _scaled_means(parts, counts)
    # Try the three directions of greatest variance, because the first may be due to chance.
    axes = np.linalg.svd(means * np.sqrt(counts)[:, None], full_matrices=False)[2]
    return max(_group_distance(means, counts, means @ axis > 0) for axis in axes[:3])


def _scaled_means(parts: Sequence[Floats], counts: Floats) -> Floats:
    """Return the means of the parts, centred, in units of the variation within parts."""
    means = np.array([part.mean(axis=0) for part in parts])
    within = (
        sum((np.cov(part.T, bias=True) * len(part) for part in parts), np.zeros((_COEFFICIENTS, _COEFFICIENTS)))
        / counts.sum()
    )
    scaled = np.linalg.solve(np.linalg.cholesky(within + 1e-4 * np.eye(_COEFFICIENTS)), means.T).T
    return np.asarray(scaled - np.average(scaled, axis=0, weights=counts))


def _group_distance(means: Floats, counts: Floats, upper: Bools) -> float:
    """Return the squared distance of two groups, refined by k-means; 0 where one of them is too small."""
    centres = np.zeros((2, means.shape[1]))
    for _ in range(10):
        share = counts[upper].sum() / counts.sum()
        if not _SHARE <= share <= 1 - _SHARE:
            return 0.0
        for side, mine in enumerate((~upper, upper)):
            centres[side] = np.average(means[mine], axis=0, weights=counts[mine])
        nearer = ((means - centres[1]) ** 2).sum(axis=1) < ((means - centres[0]) ** 2).sum(axis=1)
        if (nearer == upper).all():
            break
        upper = nearer
    fewest = min(counts[upper].sum(), counts[~upper].sum())
    return float(((centres[1] - centres[0]) ** 2).sum() / (1 + _CHANCE_STEPS / max(fewest, 1.0)))


def _cepstra(samples: Samples, rate: int, steps: npt.NDArray[np.intp], count: int) -> Floats:
    """Return cepstral coefficients, float64 [count, coefficients], of the given steps; NaN for the others."""
    size, hop = round(_FRAME_S * rate), rate // STEPS_PER_S
    bands, window = _mel_filters(size, rate), np.hanning(size)
    turns = np.pi * np.arange(1, _COEFFICIENTS + 1)[:, None] * (np.arange(_BANDS) + 0.5) / _BANDS
    found = np.full((count, _COEFFICIENTS), np.nan)
    for at in np.array_split(steps, len(steps) // 500 + 1):  # in constant memory
        power = np.abs(np.fft.rfft(samples[at[:, None] * hop + np.arange(size)] * window, axis=1)) ** 2
        found[at] = np.log(power @ bands.T + _TINY) @ np.cos(turns).T / _BANDS
    return found


def _mel_filters(size: int, rate: int) -> Floats:
    """Return triangular mel filters, float64 [bands, size // 2 + 1]."""
    hertz = np.fft.rfftfreq(size, 1 / rate)
    low, high = (2595.0 * np.log10(1.0 + edge / 700.0) for edge in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, _BANDS + 2) / 2595.0) - 1.0)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.asarray(
        np.clip(np.minimum((hertz - left) / (middle - left), (right - hertz) / (right - middle)), 0, None)
    )
