"""Sums displacement fields, inverts them, and samples the figure through them: once per pixel and frame."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background, Box
from stages.encode.planes import PlanarFrame, halved
from stages.face.rig.grid import CellBlock
from stages.face.sampling import sample

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_remap: Any = cv2.remap  # its stub knows no empty second map
#: Cells added on each side of the grid, so that interpolation reaches the block's border; even times any step.
_PAD = 2
#: An inversion stops when no pixel misses its source by more cells (OpenCV's interpolation knows places to 1/32), after at most
#: so many steps; the first are plain ones.
_CONVERGED, _MOST_STEPS, _PLAIN_STEPS = 1 / 16, 24, 4
#: Width of the tiles, px; a multiple of twice every grid step, and so is a band's height.
_TILE_PX = 24
#: Pixels of a band: so many stay in the processor's cache.
_BAND_PIXELS = 100_000


class FieldSum:
    """Fields over one block of cells.

    They are added one by one: a matrix product would be shared among the threads of BLAS, which wait for each other longer than
    this takes, and differs in the last bit from one processor to the next.
    """

    def __init__(self, fields: FloatArray, covered: CellBlock, cells: CellBlock) -> None:
        """Take the part `cells` of `fields`, [k, rows, columns, 2], which cover the block `covered`."""
        self.cells = cells
        size = cells.shape[0] * cells.shape[1] * 2
        self._matrix = np.ascontiguousarray(fields[:, *cells.within(covered)]).reshape(len(fields), size)

    def sum(self, weights: FloatArray) -> FloatArray:
        """Sum the fields by `weights`, [k], to a displacement in px, [rows, columns, 2]."""
        total = np.zeros((1, self._matrix.shape[1]), np.float32)
        for weight, field in zip(weights.tolist(), self._matrix, strict=True):
            if weight:
                cv2.scaleAdd(field[None], weight, total, total)
        return total.reshape(*self.cells.shape, 2)


class FieldInverter:
    """Inverts a forward displacement (where a point moves to) into a backward one (where a pixel comes from).

    Plain steps to the fixed point converge fast where the field is level. Where they have not after a few, half steps go on: they
    converge wherever the field neither folds nor stretches by four.

    Attributes:
        residual: largest distance, px, by which a pixel misses its source after the last `invert`.
    """

    def __init__(self, cells: CellBlock, step: int, part: CellBlock | None = None) -> None:
        """Prepare to invert fields over the block `cells`, within the block `part` (default: all of it)."""
        rows, columns = (part or cells).within(cells)
        x, y = np.meshgrid(
            np.arange(columns.start, columns.stop, dtype=np.float32), np.arange(rows.start, rows.stop, dtype=np.float32)
        )
        self._identity = np.dstack([x, y])
        self._within = rows, columns
        self._per_cell = np.float32(1.0 / step)
        self._converged = _CONVERGED * step
        self.residual = 0.0

    def invert(self, forward: FloatArray) -> FloatArray:
        """Compute the displacement from each destination to its source, px, [rows, columns, 2] of the part."""
        backward = np.negative(forward[self._within])
        rows, columns = slice(0, backward.shape[0]), slice(0, backward.shape[1])
        for count in range(_MOST_STEPS):
            here = backward[rows, columns]
            found = np.negative(sample(forward, self._identity[rows, columns] + here * self._per_cell))
            if not count:
                backward = found  # the first step always has far to go
                continue
            apart = cv2.absdiff(found, here)
            here[:] = found if count < _PLAIN_STEPS else (found + here) * np.float32(0.5)
            self.residual = float(cv2.norm(apart, cv2.NORM_INF))
            if self.residual < self._converged:
                break
            down, across = (
                np.flatnonzero(cv2.reduce(apart, side, cv2.REDUCE_MAX).reshape(-1, 2).max(axis=1) >= self._converged)
                for side in (1, 0)
            )
            rows = slice(rows.start + int(down[0]), rows.start + int(down[-1]) + 1)
            columns = slice(columns.start + int(across[0]), columns.start + int(across[-1]) + 1)
        return np.asarray(backward, np.float32)


class FigureSampler:
    """Draws the figure, displaced by a field, into the planes of a frame.

    Works on bands of rows, which stay in the processor's cache. Tiles in which there is only background are left out, and
    alpha is sampled only in tiles that hold both.
    """

    def __init__(self, planes: FigurePlanes, background: Background, cells: CellBlock, step: int) -> None:
        """Prepare to draw the block `cells`, whose bounds are even or at the picture's border."""
        self._planes, self._background, self._cells, self._step = planes, background, cells, step
        height, width = (side // 2 for side in planes.luma.shape)
        self.left, self.top = cells.left * step, cells.top * step
        self.right, self.bottom = min(cells.right * step, width), min(cells.bottom * step, height)
        x, y = np.meshgrid(
            np.arange(cells.left - _PAD, cells.right + _PAD, dtype=np.float32),
            np.arange(cells.top - _PAD, cells.bottom + _PAD, dtype=np.float32),
        )
        self._points = np.dstack([x, y]) * np.float32(step) + np.float32((step - 1) / 2)
        self._coverage = _coverage(planes, step)
        rows = max(1, round(_BAND_PIXELS / (self.right - self.left) / _TILE_PX)) * _TILE_PX
        self._tile = rows // step, _TILE_PX // step  # cells

    @property
    def box(self) -> Box:
        """Rows and columns of the block in the portrait."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def draw(self, backward: FloatArray, frame: PlanarFrame) -> None:
        """Draw the block, with its background, into `frame`.

        Args:
            backward: displacement from each destination to its source, px, float32 [rows, columns, 2].
            frame: the frame to draw into.
        """
        for target, still in zip(frame.planes(), self._background.frame.planes(), strict=True):
            by = frame.height // target.shape[0]
            part = slice(self.top // by, self.bottom // by), slice(self.left // by, self.right // by)
            target[part] = still[part]
        padded = cv2.copyMakeBorder(backward, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        sources = self._points + padded
        lowest, highest = self._tiles(sources)
        luma = sources * np.float32(2)  # in samples of the enlarged planes
        # In samples of the chroma planes. Sample (x, y) lies at (2 * x, 2 * y + 1/2); the enlarged map is half a px to its right.
        chroma = (sources - np.float32(0.5)) * np.float32(0.5)
        for band, (low, high) in enumerate(zip(lowest, highest, strict=True)):
            used = np.flatnonzero(high)
            if len(used):
                first, last = int(used[0]), int(used[-1]) + 1
                mixed = low[first:last] < 255
                self._draw_luma(luma, band, first, last, mixed, frame)
                self._draw_chroma(chroma, band, first, last, mixed, frame)

    def _tiles(self, sources: FloatArray) -> tuple[Picture, Picture]:
        """Lowest alpha that each tile may show, and 0 for tiles without any of the figure, [bands, tiles]."""
        every_second = sources[_PAD:-_PAD:2, _PAD:-_PAD:2]
        places = (every_second - np.float32((self._step - 1) / 2)) * np.float32(1 / self._step)
        found = sample(self._coverage, places, cv2.INTER_NEAREST)
        starts = [np.arange(0, side, tile // 2) for side, tile in zip(found.shape, self._tile, strict=False)]
        lowest = np.minimum.reduceat(np.minimum.reduceat(found[..., 0], starts[0], axis=0), starts[1], axis=1)
        highest = np.maximum.reduceat(np.maximum.reduceat(found[..., 1], starts[0], axis=0), starts[1], axis=1)
        return lowest, highest

    def _draw_luma(
        self, sources: FloatArray, band: int, first: int, last: int, mixed: npt.NDArray[np.bool_], frame: PlanarFrame
    ) -> None:
        """Draw Y of the tiles `first` to `last` of a band, and compose it where the tiles are `mixed`."""
        box = self._box_of(band, first, last)
        places = self._enlarge_map(sources, band, first, last, self._step, box)
        _remap(self._planes.luma, places, None, cv2.INTER_LINEAR, frame.y[box], cv2.BORDER_REFLECT_101)
        for start, stop in _runs(mixed):
            part = self._box_of(band, first + start, first + stop)
            inside = places[:, part[1].start - box[1].start : part[1].stop - box[1].start]
            alpha = sample(self._planes.alpha, inside, outside=cv2.BORDER_REFLECT_101)
            self._background.show_luma(frame.y[part], alpha, part, frame)
        if frame.transparent:
            for start, stop in _runs(~mixed):
                frame.alpha[self._box_of(band, first + start, first + stop)] = 255

    def _draw_chroma(
        self, sources: FloatArray, band: int, first: int, last: int, mixed: npt.NDArray[np.bool_], frame: PlanarFrame
    ) -> None:
        """Draw Cb and Cr of the tiles `first` to `last` of a band, and compose them where the tiles are `mixed`."""
        box = self._box_of(band, first, last)
        places = self._enlarge_map(sources, band, first, last, self._step / 2, box)
        blue, red, alpha, _ = (
            np.asarray(plane, np.uint8)
            for plane in cv2.split(sample(self._planes.chroma, places, outside=cv2.BORDER_REFLECT_101))
        )
        half = halved(box)
        frame.cb[half], frame.cr[half] = blue, red
        for start, stop in _runs(mixed):
            part = self._box_of(band, first + start, first + stop)
            inside = slice(None), slice((part[1].start - box[1].start) // 2, (part[1].stop - box[1].start) // 2)
            self._background.show_chroma(blue[inside], red[inside], alpha[inside], part, frame)

    def _box_of(self, band: int, first: int, last: int) -> Box:
        """Rows and columns in the frame of the tiles `first` to `last` of a band."""
        height, width = (tile * self._step for tile in self._tile)
        return (
            slice(self.top + band * height, min(self.top + (band + 1) * height, self.bottom)),
            slice(self.left + first * width, min(self.left + last * width, self.right)),
        )

    def _enlarge_map(self, coarse: FloatArray, band: int, first: int, last: int, scale: float, box: Box) -> FloatArray:
        """Interpolate a padded grid of points linearly: `scale` samples for each cell."""
        height, width = self._tile
        part = coarse[
            band * height : (band + 1) * height + 2 * _PAD,
            first * width : last * width + 2 * _PAD,
        ]
        fine = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        margin = round(_PAD * scale)
        rows, columns = (math.ceil((side.stop - side.start) * scale / self._step) for side in box)
        return np.asarray(fine[margin : margin + rows, margin : margin + columns], np.float32)


def _coverage(planes: FigurePlanes, step: int) -> Picture:
    """Lowest alpha, and highest alpha or Y, within three cells of each cell, uint8 [rows, columns, 2].

    Where alpha is 0 there may still be Y: a strand of hair that the matte missed.
    """
    height, width = planes.alpha.shape
    across, down = -width % (2 * step), -height % (2 * step)

    def cells(plane: Picture) -> Picture:
        whole = np.asarray(cv2.copyMakeBorder(plane, 0, down, 0, across, cv2.BORDER_REPLICATE), np.uint8)
        return whole.reshape(whole.shape[0] // (2 * step), 2 * step, whole.shape[1] // (2 * step), 2 * step)

    kernel = np.ones((7, 7), np.uint8)
    lowest = cells(planes.alpha).min(axis=(1, 3))
    highest = np.maximum(cells(planes.alpha).max(axis=(1, 3)), cells(planes.luma).max(axis=(1, 3)))
    return np.asarray(cv2.merge([cv2.erode(lowest, kernel), cv2.dilate(highest, kernel)]), np.uint8)


def _runs(marks: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last of each run of marked tiles."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def field_at_points(field: FloatArray, cells: CellBlock, step: int, points: FloatArray) -> FloatArray:
    """Interpolate a block's field, [rows, columns, channels], bilinearly at portrait points, [..., 2] px: [..., channels]."""
    places = (points - np.float32((step - 1) / 2)) * np.float32(1.0 / step) - np.array(
        [cells.left, cells.top], np.float32
    )
    flat = places.reshape(-1, 1, 2) if places.ndim == 2 else places
    values = sample(field, flat.astype(np.float32))
    return np.asarray(values, np.float32).reshape(*points.shape[:-1], field.shape[-1])
