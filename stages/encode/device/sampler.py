"""Samples the figure on a device of torch's: what `FigureSampler` draws, within 1 of 255."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.encode.compose import Composer
from stages.encode.device.planes import DevicePlanes
from stages.encode.field_warp import quad_points
from stages.encode.planes import BLACK, NEUTRAL

FloatArray = npt.NDArray[np.float32]

#: OpenCV rounds coordinates to so many parts of a sample.
_PARTS = 32
#: Cells that the field is padded by on each side.
_PAD = 1


class TorchSampler:
    """Draws the figure, displaced by a field, into frames on the device, like `FigureSampler`."""

    def __init__(self, composer: Composer, planes: DevicePlanes, device: torch.device) -> None:
        """Bring the background and the grid to the device. The composer's figure moves."""
        cells, step = composer.cells, composer.step
        assert cells is not None
        self._device, self._planes, self._step = device, planes, step
        self._scale, self._transparent = composer.planes.scale, composer.transparent
        self._height, self._width = composer.height, composer.width
        rows = slice(cells.top * step, min(cells.bottom * step, self._height))
        columns = slice(cells.left * step, min(cells.right * step, self._width))
        self._box = rows, columns
        self._half = tuple(slice(side.start // 2, side.stop // 2) for side in self._box)
        still = composer.background.frame
        self._still_y = self._send(still.y[self._box])
        self._still_chroma = [self._send(plane[self._half]) for plane in (still.cb, still.cr)]
        self._points = self._send(quad_points(composer.planes, cells, step, _PAD))
        self._rows = self._between(rows.stop - rows.start)
        self._columns = self._between(columns.stop - columns.start)

    def _send(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _between(self, pixels: int) -> tuple[Tensor, Tensor]:
        """For the middle of each quad along one side: the cell before it, in the padded grid, and the next one's share."""
        places = (np.arange(pixels // 2) * 2 + 1) / self._step + 0.5
        before = np.floor(places)
        return self._send(before.astype(np.int64)), self._send((places - before).astype(np.float32))

    def draw(self, backward: Tensor, frame: Tensor) -> None:
        """Draw the block, with its background, into `frame`: the planes of a `PlanarFrame` one after the other, uint8.

        `backward`: displacement from each destination to its source, px, float32 [rows, columns, 2] of the block's cells.
        """
        padded = self._padded(backward)
        self._draw(self._enlarge(self._points + padded * self._scale), frame)

    @staticmethod
    def _padded(field: Tensor) -> Tensor:
        for axis in (0, 1):
            first, last = field.narrow(axis, 0, 1), field.narrow(axis, field.shape[axis] - 1, 1)
            field = torch.cat([*[first] * _PAD, field, *[last] * _PAD], dim=axis)
        return field

    def _enlarge(self, coarse: Tensor) -> Tensor:
        """Interpolate the padded grid of points linearly, in OpenCV's order, to the quads."""
        before, share = self._columns
        wide = coarse[:, before] * (1 - share)[:, None] + coarse[:, before + 1] * share[:, None]
        before, share = self._rows
        return wide[before] * (1 - share)[:, None, None] + wide[before + 1] * share[:, None, None]

    def _draw(self, quads: Tensor, frame: Tensor) -> None:
        both = self._sample(self._planes.quads, quads)
        luma, alpha = self._unfold(both[..., :4]), self._unfold(both[..., 4:])
        chroma = self._sample(self._planes.chroma, quads * (0.5 / self._scale))
        thin = chroma[..., 2]
        y, *half_planes = self._planes_of(frame)
        if self._transparent:
            y[self._box] = _pixels((luma * 255 / alpha.clamp(min=1) * (alpha > 0)).round().clamp(min=BLACK))
            half_planes.pop()[self._box] = _pixels(alpha)
        else:
            y[self._box] = _pixels(luma + (self._still_y * (255 - alpha) / 255).round())
        for number, (still, target) in enumerate(zip(self._still_chroma, half_planes, strict=True)):
            values = chroma[..., number]
            if self._transparent:
                whole = (NEUTRAL + (values - NEUTRAL) * (255 / thin.clamp(min=1))).round()
                shown = torch.where(thin > 0, whole, torch.full_like(whole, NEUTRAL))
            else:
                offset = ((255 - thin) * (NEUTRAL / 255)).round()
                share = (still * (255 - thin) / 255).round() - offset + NEUTRAL
                shown = values + share.clamp(0, 255) - NEUTRAL
            target[self._half] = _pixels(shown)

    def _planes_of(self, frame: Tensor) -> list[Tensor]:
        """Y, Cb, Cr and, if there is one, alpha of a frame."""
        height, width = self._height, self._width
        sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2), (height, width)]
        planes, start = [], 0
        for rows, columns in sizes if self._transparent else sizes[:3]:
            planes.append(frame[start : start + rows * columns].view(rows, columns))
            start += rows * columns
        return planes

    def _sample(self, source: Tensor, places: Tensor) -> Tensor:
        """Sample all channels linearly, with coordinates and rounding as OpenCV's; beyond the border, the border goes on."""
        height, width = source.shape[:2]
        (left, across), (top, down) = (self._split(side) for side in places.unbind(-1))
        rows = [(top + by).clamp(0, height - 1) for by in (0, 1)]
        columns = [(left + by).clamp(0, width - 1) for by in (0, 1)]
        total = torch.zeros((*left.shape, source.shape[2]), dtype=torch.int32, device=self._device)
        for row, by_row in zip(rows, (_PARTS - down, down), strict=True):
            for column, by_column in zip(columns, (_PARTS - across, across), strict=True):
                total += source[row, column] * (by_row * by_column).to(torch.int32)[..., None]
        return (total + _PARTS * _PARTS // 2) // (_PARTS * _PARTS)

    def _split(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Whole samples and the rest in parts of one."""
        parts = (places * _PARTS).round().long()
        whole = torch.div(parts, _PARTS, rounding_mode="floor")
        return whole, parts - whole * _PARTS

    @staticmethod
    def _unfold(quads: Tensor) -> Tensor:
        rows, columns, _ = quads.shape
        return quads.reshape(rows, columns, 2, 2).permute(0, 2, 1, 3).reshape(2 * rows, 2 * columns)


def _pixels(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)
