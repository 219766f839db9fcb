"""Sums displacement fields, inverts them, and samples the portrait through them: once per pixel and frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.grid import CellBlock
from stages.face.sampling import sample

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


class FieldSum:
    """Fields over one block of cells, which a single matrix product sums."""

    def __init__(self, fields: FloatArray, covered: CellBlock, cells: CellBlock) -> None:
        """Take the part `cells` of `fields`, [k, rows, columns, 2], which cover the block `covered`."""
        self.cells = cells
        size = cells.shape[0] * cells.shape[1] * 2
        self._matrix = np.ascontiguousarray(fields[:, *cells.within(covered)]).reshape(len(fields), size)

    def sum(self, weights: FloatArray) -> FloatArray:
        """Sum the fields by `weights`, [k], to a displacement in px, [rows, columns, 2]."""
        return np.asarray((weights @ self._matrix).reshape(*self.cells.shape, 2), np.float32)


class FieldInverter:
    """Inverts a forward displacement (where a point moves to) into a backward one (where a pixel comes from), on one block."""

    def __init__(self, cells: CellBlock, step: int) -> None:
        rows, columns = cells.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._identity = np.dstack([x, y])
        self._per_cell = np.float32(1.0 / step)

    def invert(self, forward: FloatArray, iterations: int = 3) -> FloatArray:
        """Compute the displacement from each destination to its source, px, [rows, columns, 2], by fixed-point iteration."""
        backward = -forward
        for _ in range(iterations):
            places = self._identity + backward * self._per_cell
            backward = -sample(forward, places)
        return np.asarray(backward, np.float32)


class PortraitSampler:
    """Enlarges a block's displacement to pixels and samples the portrait through it.

    Attributes:
        left, top, right, bottom: the block in the portrait, px.
    """

    def __init__(self, cells: CellBlock, step: int, size: tuple[int, int], interpolation: int) -> None:
        width, height = size
        self.left, self.top = cells.left * step, cells.top * step
        self.right, self.bottom = min(cells.right * step, width), min(cells.bottom * step, height)
        self._enlarged = (cells.shape[1] * step, cells.shape[0] * step)
        self._interpolation = interpolation
        x, y = np.meshgrid(
            np.arange(self.left, self.right, dtype=np.float32), np.arange(self.top, self.bottom, dtype=np.float32)
        )
        self._identity = np.dstack([x, y])

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the block in the portrait."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def sample(self, portrait: Picture, backward: FloatArray) -> Picture:
        """Sample the block's pixels, uint8 [height, width, channels]."""
        fine = cv2.resize(backward, self._enlarged, interpolation=cv2.INTER_LINEAR)
        places = fine[: self.bottom - self.top, : self.right - self.left] + self._identity
        return np.asarray(sample(portrait, places, self._interpolation), np.uint8)


def field_at_points(field: FloatArray, cells: CellBlock, step: int, points: FloatArray) -> FloatArray:
    """Interpolate a block's field, [rows, columns, 2], bilinearly at portrait points, [..., 2] px."""
    places = (points - np.float32((step - 1) / 2)) * np.float32(1.0 / step) - np.array(
        [cells.left, cells.top], np.float32
    )
    flat = places.reshape(-1, 1, 2) if places.ndim == 2 else places
    values = sample(field, flat.astype(np.float32))
    return np.asarray(values, np.float32).reshape(points.shape)
