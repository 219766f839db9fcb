"""Which cells of a figure's planes show any of the figure, and which show nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.figure_planes import FigurePlanes

Picture = npt.NDArray[np.uint8]

#: Width of the squares in which it is looked up, px; a multiple of every grid step, and of twice every odd one.
SQUARE_PX = 12
#: Cells by which a displacement may change over half of such a square.
_BEYOND_SQUARE = 2


class Coverage:
    """What is seen within a square around each cell.

    Attributes:
        step: px per cell.
        square: cells in a square.
        beyond: cells that `values` go on beyond each of the picture's borders.
        values: the highest value of what alpha lacks to 255, and of alpha or Y, uint8 [rows, columns, 2]. Where alpha is 0 there
            may still be Y: a strand of hair that the matte missed.
    """

    def __init__(self, step: int, beyond: int, values: Picture) -> None:
        self.step, self.square, self.beyond, self.values = step, SQUARE_PX // step, beyond, values

    @classmethod
    def of(cls, planes: FigurePlanes, step: int) -> Self:
        """Find the coverage of planes, at rest, with this step of the grid."""
        side = planes.scale * step
        beyond = (planes.margin - planes.scale) // side
        first = planes.margin - beyond * side
        rest = slice(first, planes.scale - first or None)

        def of_cells(quads: Picture, *kinds: np.ufunc) -> list[Picture]:
            plane = np.asarray(cv2.extractChannel(quads[rest, rest], 0), np.uint8)
            right, below = -plane.shape[1] % side, -plane.shape[0] % side
            whole = np.asarray(cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
            # Axis by axis, which is several times as fast.
            flat = [kind.reduce(whole.reshape(-1, side, whole.shape[1]), axis=1) for kind in kinds]
            return [
                kind.reduce(part.reshape(len(part), -1, side), axis=2) for kind, part in zip(kinds, flat, strict=True)
            ]

        with ThreadPoolExecutor(1) as thread:
            luma = thread.submit(of_cells, planes.luma, np.maximum)
            lowest, highest = of_cells(planes.alpha, np.minimum, np.maximum)
        found = cv2.merge([cv2.bitwise_not(lowest), np.maximum(highest, *luma.result())])
        within = 2 * (SQUARE_PX // step // 2 + _BEYOND_SQUARE) + 1
        return cls(step, beyond, np.asarray(cv2.dilate(found, np.ones((within, within), np.uint8)), np.uint8))
