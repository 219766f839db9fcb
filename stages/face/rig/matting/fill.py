"""Spreads known pixels of a picture over the unknown ones, smoothly: no object is ever copied."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.sampling import blur, blur_widely

Picture = npt.NDArray[np.uint8]

#: How far off the surroundings of a pixel reach, as a fraction of the shorter side.
_REACH = 0.02
#: A weight below this is rounding.
_NONE = 1e-5
#: Sigma of the blur that separates grain from the picture's content, px.
_FINE = 1.0
#: More than this is texture, not grain, and would look like dirt beside a smooth filling; 8-bit levels.
_MOST_GRAIN = 5.0


def spread(values: FloatArray, known: FloatArray, nearest: float = 1.0) -> FloatArray:
    """Fill in unknown pixels from the known ones around them, the nearer the more (push-pull of Gortler et al., 1996).

    Args:
        values: [height, width, channels].
        known: weight of each pixel, 0 to 1, [height, width].
        nearest: a square of pixels takes its own colour alone if this times its known share is 1. 1 is smooth; more keeps the
            nearest colours farther.
    """
    return _spread((values * known[..., None]).astype(np.float32), known, nearest)


def _spread(weighted: FloatArray, weight: FloatArray, nearest: float) -> FloatArray:
    height, width = weight.shape
    weight = np.asarray(cv2.threshold(weight, _NONE, 0, cv2.THRESH_TOZERO)[1], np.float32)
    own = weighted / np.maximum(weight, _NONE)[..., None]
    if min(height, width) <= 2 or (weight > 0).all():
        return np.asarray(own, np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    small = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA), np.float32).reshape(*size[::-1], -1)
    small_weight = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = cv2.resize(_spread(small, small_weight, nearest), (width, height), interpolation=cv2.INTER_LINEAR)
    coarse = coarse.reshape(height, width, -1)
    return np.asarray(coarse + np.minimum(nearest * weight, 1.0)[..., None] * (own - coarse), np.float32)


def mean_around(values: FloatArray, known: FloatArray, sigma: float) -> FloatArray:
    """Mean of the known pixels around each one, by a Gaussian of `sigma` px; shapes as in `spread`."""
    total = blur_widely(np.ascontiguousarray(values * known[..., None]), sigma).reshape(values.shape)
    return np.asarray(total / np.maximum(blur_widely(known, sigma), 1e-3)[..., None], np.float32)


def spread_colours(picture: FloatArray, known: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Spread the known colours, and how much they vary.

    Returns:
        The colours, as `spread` gives them, and their variance, summed over the channels, [height, width]: how much the known
        pixels differ from their surroundings.
    """
    reach = _REACH * min(known.shape)
    colours = spread(picture, known)
    apart = ((picture - mean_around(picture, known, reach)) ** 2).sum(axis=-1)
    inner = known * blur_widely(known, reach)  # at the very edge the mean is one-sided
    window = np.ones((2 * round(reach) + 1,) * 2, np.uint8)
    whole = spread(blur(apart, 1.0)[..., None], inner)[..., 0]
    # The largest one around: an edge in the background counts before it is reached.
    nearby = blur_widely(np.asarray(cv2.dilate(whole, window), np.float32), reach)
    return colours, np.maximum(nearby, 0)


def arbitrariness(picture: FloatArray, known: FloatArray, colours: FloatArray) -> FloatArray:
    """How much a spread colour depends on how far off the known ones are looked for, squared levels, [height, width]."""
    wide = mean_around(picture, known, 3 * _REACH * min(known.shape))
    return np.asarray(((colours - wide) ** 2).sum(axis=-1) * (1 - known), np.float32)


def grain(picture: Picture, known: npt.NDArray[Any]) -> FloatArray:
    """Make noise like the picture's own where it is `known`, [height, width]; it is the same for the same picture."""
    return noise(known.shape, grain_strength(picture, known))


def grain_strength(picture: Picture, known: npt.NDArray[Any]) -> float:
    """Standard deviation of an RGB picture's grain where it is `known`, 8-bit levels."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.absdiff(grey, blur(grey, _FINE))[known > 0]
    # The median is that of the flat parts; a Gaussian's median deviation is 0.67 of its sigma.
    return min(float(np.median(fine)) / 0.67, _MOST_GRAIN) if fine.size else 0.0


def noise(shape: tuple[int, ...], strength: float) -> FloatArray:
    """Noise of this standard deviation, as fine as grain, [height, width]; always the same."""
    soft = blur(np.random.default_rng(0).standard_normal(shape, np.float32), 0.7)
    soft *= np.float32(strength / max(float(soft.std()), 1e-6))
    return soft
