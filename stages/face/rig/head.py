"""Displacement fields of the head and chest.

The head and the neck are carried as nearly one rigid body, and the shoulders follow less over a long way, so that nothing is
stretched much. Small turns are parallax by the head's depth. `stages.face.rig.head_bounds` bounds the fields for each portrait.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, smoothstep
from stages.face.sampling import blur

Grid = npt.NDArray[np.float64]

_DEGREE = np.pi / 180
#: Lift of the chest as a fraction of the face's width; about 0.6 % of the shoulders'.
_BREATH = 0.016
#: Way over which the head's movement fades through neck and shoulders, in face heights from just above the chin.
_SHOULDERS = 1.25
#: In a picture that cannot be split, movement fades out within this fraction of the shorter side from the border.
_UNSPLIT_BORDER = 0.28
#: The depth is smoothed by this, in face widths. One picture does not show what a turning nose uncovers, and a soft depth lets
#: the whole face turn twice as far for the same stretch.
_SOFTEN = 0.2


class HeadFields:
    """Computes the head's fields on a grid of picture points, [rows, columns, 2] px.

    Displacements are in the face's directions, for 1 degree or 1 face width.
    """

    def __init__(
        self, frame: FaceFrame, landmarks: FloatArray, size: tuple[int, int], points: Grid, split: bool = True
    ) -> None:
        """`split`: whether person and background are two layers; otherwise the whole picture moves, except at its border."""
        self._frame = frame
        local = frame.local(points)
        self._x, self._y = local[..., 0], local[..., 1]
        still = np.ones_like(self._x)
        if not split:
            edge = np.minimum.reduce(
                [points[..., 0], points[..., 1], size[0] - 1 - points[..., 0], size[1] - 1 - points[..., 1]]
            )
            still = smoothstep(edge / (_UNSPLIT_BORDER * min(size)))
        around = self._around() * still
        self._depth = _depth(frame, landmarks, points) * around
        self._head = around * (1.0 - smoothstep(self._below(0.8 * frame.chin) / _SHOULDERS))
        self._body = around * (1.0 - smoothstep(self._below(frame.chin + 0.4 * frame.face_height) / 1.8))
        self._chest = around * self._lift()

    def all(self) -> dict[str, Grid]:
        """Every field by its parameter's name."""
        frame = self._frame
        pivot = frame.chin + 0.4 * frame.face_height  # the neck's base
        zero = np.zeros_like(self._x)
        return {
            "head_yaw": np.stack([_DEGREE * self._depth, zero], axis=-1),
            "head_pitch": np.stack([zero, _DEGREE * self._depth], axis=-1),
            "head_roll": _DEGREE * np.stack([-(self._y - pivot), self._x], axis=-1) * self._head[..., None],
            "head_x": np.stack([frame.face_width * self._head, zero], axis=-1),
            "head_y": np.stack([zero, frame.face_width * self._head], axis=-1),
            "lean": np.stack([frame.face_width * self._body, zero], axis=-1),
            "breath": np.stack([zero, -_BREATH * frame.face_width * self._chest], axis=-1),
        }

    def _below(self, start: float) -> Grid:
        """Way below a height, in face heights."""
        return np.asarray((self._y - start) / self._frame.face_height)

    def _around(self) -> Grid:
        """1 near the person, 0 at the edge of the area that the head's fields cover: the picture may be much larger."""
        frame = self._frame
        above = 1.0 - smoothstep((-self._below(frame.chin) - 1.75) / 0.95)
        aside = 1.0 - smoothstep((np.abs(self._x) / frame.face_width - 1.3) / 0.95)
        return np.asarray(above * aside)

    def _lift(self) -> Grid:
        """1 at the chest, 0 at the chin and far below."""
        rise = smoothstep(self._below(self._frame.chin + 0.12 * self._frame.face_height) / 0.5)
        fall = 1.0 - smoothstep(self._below(self._frame.chin) - 1.0)
        return np.asarray(rise * fall)


def _depth(frame: FaceFrame, landmarks: FloatArray, points: Grid) -> Grid:
    """Depth in front of the plane of the ears, px: the mesh's on the face, an ellipsoid's on the rest of the head.

    It is 0 at the silhouette, so that a turn moves the features but not the outline, as on a real head.
    """
    ears = landmarks[[mesh.LEFT_SIDE, mesh.RIGHT_SIDE], 2].mean()
    heights = (ears - landmarks[:468, 2]).astype(np.float64)
    local = frame.local(points)
    total, weighted = _near(points, landmarks[:468, :2].astype(np.float64), heights, 0.055 * frame.face_width)
    middle = frame.chin - 0.66 * frame.face_height
    reach = (local[..., 0] / (0.72 * frame.face_width)) ** 2 + (
        (local[..., 1] - middle) / (0.86 * frame.face_height)
    ) ** 2
    ellipsoid = 0.6 * frame.face_width * np.sqrt(np.clip(1.0 - reach, 0.0, 1.0))
    ellipsoid *= smoothstep((1.0 - reach) / 0.5)  # level at the silhouette: no crease in the background
    depth = (weighted + 0.6 * ellipsoid) / (total + 0.6)
    step = points[0, 1, 0] - points[0, 0, 0] if points.shape[1] > 1 else 1.0
    return np.asarray(blur(depth, _SOFTEN * frame.face_width / float(step)), np.float64)


def _near(points: Grid, places: Grid, heights: Grid, spread: float) -> tuple[Grid, Grid]:
    """The landmarks' Gaussian weights summed at every grid point, and the sum of weights times heights, [rows, columns] each.

    A Gaussian of the distance is the product of one across and one down, so that two matrix products give all sums.
    """
    across, down = (
        np.exp(-((line[:, None] - places[None, :, axis]) ** 2) / (2 * spread**2))
        for axis, line in enumerate((points[0, :, 0], points[:, 0, 1]))
    )
    return down @ across.T, (down * heights) @ across.T
