"""Arithmetic of pixels in torch, rounded like the functions of `stages.encode.planes` and `figure_planes` that it stands for.

All of it works on the device of its arguments, and makes nobody wait.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stages.encode.figure_planes import TAPS
from stages.encode.planes import BGR_TO_YCC, BLACK, NEUTRAL

#: Fraction bits of the weights with which OpenCV enlarges pictures of 8 bits.
_WEIGHT_BITS = 11


class Pixels:
    """Functions with constants that lie on a device."""

    def __init__(self, device: torch.device) -> None:
        by_alpha = np.array([[BLACK / 255], [0], [0]])
        matrix = np.vstack([np.hstack([BGR_TO_YCC, by_alpha]), [0, 0, 0, 1]]).astype(np.float32)
        self._matrix = torch.from_numpy(matrix).to(device)
        self._offset = torch.tensor([0, NEUTRAL, NEUTRAL, 0], dtype=torch.float32).to(device)
        self._taps = torch.from_numpy(TAPS).to(device)

    def to_ycc(self, colours: Tensor) -> Tensor:
        """Convert BGRA with premultiplied alpha, uint8 [height, width, 4], to Y, Cb, Cr, A: see `planes.to_ycc`."""
        # Not a matrix product, which other networks of the process may have switched to fewer digits.
        return _rounded((colours.float()[..., None, :] * self._matrix).sum(-1) + self._offset)

    def enlarge(self, plane: Tensor) -> Tensor:
        """Enlarge a plane, uint8 [height, width], to [2 * height, 2 * width]: see `figure_planes.enlarge`."""
        for axis in (0, 1):
            plane = torch.stack([plane, self._between(plane, axis)], dim=axis + 1).flatten(axis, axis + 1)
        return plane

    def _between(self, plane: Tensor, axis: int) -> Tensor:
        """The samples halfway to the next one along an axis."""
        before, after = (len(TAPS) - 1) // 2, len(TAPS) // 2
        first, last = plane.narrow(axis, 0, 1), plane.narrow(axis, plane.shape[axis] - 1, 1)
        padded = torch.cat([*[first] * before, plane, *[last] * after], dim=axis).float()
        return _rounded((padded.unfold(axis, len(TAPS), 1) * self._taps).sum(-1))


def halve(values: Tensor) -> Tensor:
    """Filter channels down to the chroma planes' samples, uint8 [height / 2, width / 2, channels]: see `planes.halve`."""
    pairs = ((values[::2].float() + values[1::2].float()) * 0.5).round().int()
    beside = torch.cat([pairs[:, :1], pairs, pairs[:, -1:]], dim=1)
    smooth = (beside[:, :-2] + 2 * beside[:, 1:-1] + beside[:, 2:] + 2) >> 2
    return smooth[:, ::2].to(torch.uint8)


class Enlargement:
    """Scales the rows or columns of a picture as OpenCV does linearly, in whole numbers."""

    def __init__(self, source: int, target: int, part: slice, device: torch.device, skipped: int = 0) -> None:
        """Prepare to scale `source` samples, of which the first ones are `skipped`, to those of `part` of `target` samples."""
        scale = 1.0 / (target / source)
        places = ((np.arange(part.start, part.stop) + 0.5) * scale - 0.5).astype(np.float32)
        before = np.floor(places).astype(np.int64)
        share = np.where((before < 0) | (before >= source - 1), np.float32(0), places - before)
        first = np.clip(before, 0, source - 1)
        weights = [np.round(side * (1 << _WEIGHT_BITS)) for side in (np.float32(1) - share, share)]
        places_of = (np.maximum(side - skipped, 0) for side in (first, np.minimum(first + 1, source - 1)))
        self.samples = [torch.from_numpy(side).to(device) for side in places_of]
        self.weights = [torch.from_numpy(side.astype(np.int32)).to(device) for side in weights]


def resize(picture: Tensor, rows: Enlargement, columns: Enlargement) -> Tensor:
    """Scale a picture, uint8 [height, width, channels], as cv2.resize does linearly, with its rounding."""
    whole = picture.int()
    left, right = (
        whole[:, places] * weight[:, None] for places, weight in zip(columns.samples, columns.weights, strict=True)
    )
    wide = (left + right) >> 4
    upper, lower = (
        (wide[places] * weight[:, None, None]) >> 16 for places, weight in zip(rows.samples, rows.weights, strict=True)
    )
    return ((upper + lower + 2) >> 2).to(torch.uint8)


def mix_by_mask(over: Tensor, under: Tensor, mask: Tensor) -> Tensor:
    """Mix two pictures, uint8 [height, width, channels], by a mask, [height, width]: see `stages.musetalk.blend.mix_by_mask`."""
    share = mask.int()[..., None]
    total = over.int() * share + under.int() * (255 - share) + 128
    return (((total >> 8) + total) >> 8).to(torch.uint8)


def mix(after: Tensor, before: Tensor, share: float) -> Tensor:
    """Mix two pictures of 8 bits as cv2.addWeighted does."""
    return _rounded(after.float() * share + before.float() * (1 - share))


def _rounded(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
