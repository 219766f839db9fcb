"""What the head's displacement field does to the picture, without drawing it: whether it folds, and how far it stretches.

The field moves the portrait's point p to p + d(p). Its Jacobian J = 1 + dd/dp is taken between neighbouring cells of the grid on
which the composer sums it. det J < 0 turns a piece of the picture over; the singular values of J are the stretches of a small
piece along its two axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.compose import Composer
from stages.encode.field_warp import refined
from stages.face.rig.grid import CellBlock
from stages.lipsync.motion_track import PARAMETERS

FloatArray = npt.NDArray[np.float32]

#: Below this determinant a piece of the picture is as good as folded: the inverse is then not found.
LEAST_DETERMINANT = 0.3
#: 1 % of the figure may be pressed or stretched beyond these.
STRETCH = (0.8, 1.25)
#: Alpha above which a pixel belongs to the figure.
_FIGURE = 128


@dataclass(frozen=True)
class Distortion:
    """The worst frame's figures of a track: smallest determinant anywhere; 1st percentile of the lesser stretch and 99th of the
    greater one over the figure's cells.
    """

    determinant: float
    least: float
    most: float

    def faults(self) -> list[str]:
        """Return what is beyond the bounds."""
        found = []
        if self.determinant < LEAST_DETERMINANT:
            found.append("folded" if self.determinant <= 0 else "nearly folded")
        if self.least < STRETCH[0] or self.most > STRETCH[1]:
            found.append("stretched")
        return found


def jacobian(field: FloatArray, step: int) -> FloatArray:
    """The Jacobian of p + field(p), for a field of [rows, columns, 2] px on a grid of `step` px, in each square of four cells.

    [rows - 1, columns - 1, 2, 2]; row i is the gradient of the destination's coordinate i.
    """
    along = np.diff(field, axis=1) / step
    down = np.diff(field, axis=0) / step
    columns = (along[:-1] + along[1:]) / 2, (down[:, :-1] + down[:, 1:]) / 2
    return np.asarray(np.stack(columns, axis=-1) + np.eye(2, dtype=np.float32), np.float32)


def stretches(jacobians: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lesser and the greater singular value of 2 × 2 matrices, [..., 2, 2]; the lesser one is negative where det J is."""
    a, b, c, d = (jacobians[..., row, column] for row in (0, 1) for column in (0, 1))
    turned, other = np.hypot(a + d, c - b), np.hypot(a - d, b + c)
    return np.asarray((turned - other) / 2, np.float32), np.asarray((turned + other) / 2, np.float32)


def distortion(composer: Composer, every: int = 2) -> Distortion:
    """Measure every so many frames of the composer's track."""
    cells, step = composer.cells, composer._rig.step
    if cells is None:
        return Distortion(1.0, 1.0, 1.0)
    figure = _figure(composer, cells, step)
    worst = []
    values = composer._values
    for row in values[::every]:
        # A field that is no parameter's, such as a zoom, is always there.
        weights = [float(row[PARAMETERS.index(name)]) if name in PARAMETERS else 1.0 for name in composer._head_names]
        head = refined(composer._head.sum(np.array(weights, np.float32)), cells.within(cells))
        found = jacobian(head, step)
        least, most = stretches(found)
        worst.append((least * most).min())
        worst += [np.percentile(least[figure], 1), np.percentile(most[figure], 99)]
    return Distortion(float(min(worst[0::3])), float(min(worst[1::3])), float(max(worst[2::3])))


def _figure(composer: Composer, cells: CellBlock, step: int) -> npt.NDArray[np.bool_]:
    """Return which squares of the grid lie in the figure; all of them if the picture is not split."""
    matte = composer._rig.matte
    rows, columns = cells.shape
    if not matte:
        return np.ones((rows - 1, columns - 1), bool)
    middles = cells.points(step)[:-1, :-1] + step / 2
    across, down = (middles[..., axis].astype(np.float32) for axis in (0, 1))
    return np.asarray(cv2.remap(matte.alpha, across, down, cv2.INTER_LINEAR) > _FIGURE)
