"""Summing displacement fields, turning them round, and sampling the portrait through them: once per pixel and frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.grid import CellBlock
from stages.face.sampling import sample

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


class Basis:
    """Fields over one block of cells, ready to be summed by a single matrix product."""

    def __init__(self, fields: FloatArray, covered: CellBlock, cells: CellBlock) -> None:
        """Take the part `cells` of fields [k, rows, columns, 2] that cover `covered`."""
        self.cells = cells
        size = cells.shape[0] * cells.shape[1] * 2
        self._matrix = np.ascontiguousarray(fields[:, *cells.within(covered)]).reshape(len(fields), size)

    def sum(self, weights: FloatArray) -> FloatArray:
        """Displacement in px, [rows, columns, 2], for one weight per field."""
        return np.asarray((weights @ self._matrix).reshape(*self.cells.shape, 2), np.float32)


class Inverter:
    """Turns "where does this point go" into "where does this pixel come from" on one block of cells."""

    def __init__(self, cells: CellBlock, step: int) -> None:
        rows, columns = cells.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        self._identity = np.dstack([x, y])
        self._per_cell = np.float32(1.0 / step)

    def invert(self, forward: FloatArray, iterations: int = 3) -> FloatArray:
        """Displacement to add to a destination point to reach its source; fixed-point iteration from -forward."""
        backward = -forward
        for _ in range(iterations):
            places = self._identity + backward * self._per_cell
            backward = -sample(forward, places)
        return np.asarray(backward, np.float32)


class Sampler:
    """Enlarges a block's displacement to pixels and samples the portrait through it."""

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
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def sample(self, portrait: Picture, backward: FloatArray) -> Picture:
        """The block's pixels, [height, width, 3]."""
        fine = cv2.resize(backward, self._enlarged, interpolation=cv2.INTER_LINEAR)
        places = fine[: self.bottom - self.top, : self.right - self.left] + self._identity
        return np.asarray(sample(portrait, places, self._interpolation), np.uint8)


def at_points(field: FloatArray, cells: CellBlock, step: int, points: FloatArray) -> FloatArray:
    """A block's field [rows, columns, 2] at portrait points [..., 2], bilinear."""
    places = (points - np.float32((step - 1) / 2)) * np.float32(1.0 / step) - np.array(
        [cells.left, cells.top], np.float32
    )
    flat = places.reshape(-1, 1, 2) if places.ndim == 2 else places
    values = sample(field, flat.astype(np.float32))
    return np.asarray(values, np.float32).reshape(points.shape)
