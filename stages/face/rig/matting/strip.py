"""The strip at a picture's upper border, mirrored beyond it, and blurred row by row."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray

Picture = npt.NDArray[np.uint8]

#: Number of blurred copies, each twice as soft.
_LEVELS = 8


def mirrored(picture: Picture, away: FloatArray, depth: FloatArray) -> Picture:
    """The picture's upper rows, and above them, mirrored and stretched, as many as are `away` from the border.

    Args:
        picture: any.
        away: distance of each row from the border, px; 0 below it.
        depth: of what is mirrored in each column, px.
    """
    margin = int(np.count_nonzero(away))
    y = np.tile(np.arange(len(away), dtype=np.float32)[:, None] - margin, (1, len(depth)))
    y[:margin] = depth * (1 - np.exp(-away[:margin, None] / depth))
    x = np.tile(np.arange(len(depth), dtype=np.float32), (len(away), 1))
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def blurred(strip: Picture, sigma: FloatArray) -> FloatArray:
    """Blur each row by its own sigma, px: a mixture of copies, each half as large as the one before, of sigma 1, 2, 4 …

    It is not rounded: the steps of the small copies would be seen as large squares.
    """
    size = strip.shape[1], strip.shape[0]
    level = np.log2(1 + sigma)
    mixed = strip.astype(np.float32)
    small = mixed.copy()
    for number in range(1, _LEVELS):
        small = np.asarray(cv2.pyrDown(small, borderType=cv2.BORDER_REFLECT_101), np.float32)
        rows = np.nonzero(level > number - 1)[0]
        if not len(rows) or min(small.shape[:2]) < 2:
            break
        softer = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)[rows]
        weight = np.clip(level[rows] - (number - 1), 0, 1).reshape(-1, *[1] * (strip.ndim - 1))
        mixed[rows] += weight * (softer - mixed[rows])
    return np.clip(mixed, 0, 255, out=mixed)
