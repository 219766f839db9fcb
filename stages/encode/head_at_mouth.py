"""The head's motion at the mouth, which what is between the lips follows: one affine map for teeth, tongue and cavity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.encode.field_warp import field_at_points
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.grid import CellBlock

FloatArray = npt.NDArray[np.float32]

#: Where the motion is looked up: across the mouth, in its halves, and down, in units.
_ACROSS, _DOWN = np.array([-0.95, -0.6, -0.25, 0.0, 0.25, 0.6, 0.95]), np.array([-0.1, 0.15, 0.4])


class HeadAtMouth:
    """Fits a matrix to the head's field all over the mouth: a turn moves the mouth's middle farther than its corners."""

    def __init__(self, frame: FaceFrame) -> None:
        left, right = frame.half_mouth
        x = np.where(_ACROSS < 0, _ACROSS * left, _ACROSS * right)
        points = np.stack(np.meshgrid(x, _DOWN * frame.unit), axis=-1).reshape(-1, 2)
        self._points = frame.picture(points).astype(np.float32)
        self._fit = np.linalg.pinv(np.column_stack([self._points, np.ones(len(points))]))

    def matrix(self, head: FloatArray, cells: CellBlock, step: int) -> FloatArray:
        """Return the motion of the head's field, px, [rows, columns, 2] over `cells`, as a matrix, [2, 3]."""
        target = self._points + field_at_points(head, cells, step, self._points)
        return np.asarray((self._fit @ target).T, np.float32)
