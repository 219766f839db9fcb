"""Blocks of the coarse grid on which displacement fields are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CellBlock:
    """A block of grid cells: first row and column, and one past the last. All are even, or at the picture's border, so that a
    block covers whole chroma samples.

    With `step` px per cell, cell (r, c) stands for the portrait's point step * (c, r) + (step - 1) / 2.
    """

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def around(
        cls, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], step: int, size: tuple[int, int]
    ) -> CellBlock:
        """Make the block that covers the points from `low` to `high` (x, y px) within a picture of `size` (width, height)."""
        first = np.maximum(np.floor(low / step), 0).astype(int) // 2 * 2
        last = np.minimum((np.ceil(high / step) + 2) // 2 * 2, -(-np.array(size) // step)).astype(int)
        return cls(int(first[1]), int(first[0]), int(last[1]), int(last[0]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def within(self, outer: CellBlock) -> tuple[slice, slice]:
        """The slices of this block in an array that covers `outer`."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    def points(self, step: int) -> npt.NDArray[np.float64]:
        """The portrait points of the cells, [rows, columns, 2] px."""
        x, y = np.meshgrid(np.arange(self.left, self.right), np.arange(self.top, self.bottom))
        return np.asarray(np.stack([x, y], axis=-1) * float(step) + (step - 1) / 2)

    def coarse(self) -> CellBlock:
        """The block in a grid of double steps; it starts where this one does."""
        return CellBlock(self.top // 2, self.left // 2, (self.bottom + 1) // 2, (self.right + 1) // 2)

    def grown(self, by: int, within: CellBlock) -> CellBlock:
        """Return the block with `by` more cells on each side, an even number, as far as `within` reaches."""
        return CellBlock(
            max(self.top - by, within.top),
            max(self.left - by, within.left),
            min(self.bottom + by, within.bottom),
            min(self.right + by, within.right),
        )

    def union(self, other: CellBlock) -> CellBlock:
        """Return the smallest block that covers both."""
        return CellBlock(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def moving(self, fields: FloatArray, margin: int) -> CellBlock | None:
        """Cut this block to where `fields`, [k, rows, columns, 2], move, plus `margin` cells; None if they are all zero."""
        if not len(fields):
            return None
        moves = (fields != 0).any(axis=0).any(axis=-1)  # axis by axis, which is several times as fast
        rows, columns = np.flatnonzero(moves.any(axis=1)), np.flatnonzero(moves.any(axis=0))
        if not len(rows):
            return None
        return CellBlock(
            max((self.top + int(rows[0]) - margin) // 2 * 2, self.top),
            max((self.left + int(columns[0]) - margin) // 2 * 2, self.left),
            min((self.top + int(rows[-1]) + margin + 2) // 2 * 2, self.bottom),
            min((self.left + int(columns[-1]) + margin + 2) // 2 * 2, self.right),
        )
