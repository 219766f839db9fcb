"""Displacement fields of the head and chest. Small turns are parallax by the head's depth; at the border nothing moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, smoothstep

Grid = npt.NDArray[np.float64]

_DEGREE = np.pi / 180
#: Movement fades out within this fraction of the shorter side from the border.
_BORDER = 0.15
#: Lift of the chest as a fraction of the face's width; about 0.6 % of the shoulders'.
_BREATH = 0.016
#: Factor by which a lean is reduced if the background moves along.
_UNSPLIT = 0.3


class HeadFields:
    """Computes the head's fields on a grid of picture points, [rows, columns, 2] px.

    Displacements are in the face's directions, for 1 degree or 1 face width.
    """

    def __init__(
        self, frame: FaceFrame, landmarks: FloatArray, size: tuple[int, int], points: Grid, split: bool = True
    ) -> None:
        """`split`: whether person and background are two layers; otherwise the background around the head moves along."""
        self._frame = frame
        self._split = split
        local = frame.local(points)
        self._x, self._y = local[..., 0], local[..., 1]
        width, height = size
        edge = np.minimum.reduce(
            [points[..., 0], points[..., 1], width - 1 - points[..., 0], height - 1 - points[..., 1]]
        )
        self._still_border = smoothstep(edge / (_BORDER * min(width, height)))
        self._bottom = smoothstep((height - 1 - points[..., 1]) / (0.18 * height))
        self._sides = smoothstep(np.minimum(points[..., 0], width - 1 - points[..., 0]) / (0.12 * width))
        self._depth = _depth(frame, landmarks, points) * self._still_border
        self._carried = self._head_weight() * self._still_border

    def all(self) -> dict[str, Grid]:
        """Every field by its parameter's name."""
        frame = self._frame
        pivot = frame.chin + 0.4 * frame.face_height  # the neck's base
        zero = np.zeros_like(self._x)
        return {
            "head_yaw": np.stack([_DEGREE * self._depth, zero], axis=-1),
            "head_pitch": np.stack([zero, _DEGREE * self._depth], axis=-1),
            "head_roll": _DEGREE * np.stack([-(self._y - pivot), self._x], axis=-1) * self._carried[..., None],
            "head_x": np.stack([frame.face_width * self._carried, zero], axis=-1),
            "head_y": np.stack([zero, frame.face_width * self._carried], axis=-1),
            "lean": np.stack([frame.face_width * self._leaning(), zero], axis=-1),
            "breath": np.stack([zero, -_BREATH * frame.face_width * self._chest()], axis=-1),
        }

    def _head_weight(self) -> Grid:
        """1 on the head including its hair, falling to 0 well outside and at the shoulders."""
        frame = self._frame
        top, bottom = frame.chin - 1.4 * frame.face_height, frame.chin
        reach = np.hypot(self._x / (0.7 * frame.face_width), (self._y - (top + bottom) / 2) / ((bottom - top) / 2))
        around = 1.0 - smoothstep((reach - 1.0) / 0.95)
        neck = 1.0 - smoothstep((self._y - 0.85 * frame.chin) / (0.62 * frame.face_height))
        return around * neck

    def _leaning(self) -> Grid:
        """1 at the head, falling over shoulders and chest: the body leans from the hips, which are outside the picture."""
        if not self._split:  # the background would lean, too
            return _UNSPLIT * self._carried
        frame = self._frame
        below = 1.0 - smoothstep((self._y - 0.6 * frame.chin) / (1.9 * frame.face_height))
        above = 1.0 - smoothstep(((frame.chin - self._y) / frame.face_height - 1.6) / 0.45)
        aside = 1.0 - smoothstep((np.abs(self._x) / frame.face_width - 1.4) / 0.8)
        return np.asarray(below * above * aside * self._sides)

    def _chest(self) -> Grid:
        start = self._frame.chin + 0.12 * self._frame.face_height
        rise = smoothstep((self._y - start) / (0.5 * self._frame.face_height))
        fall = 1.0 - smoothstep((self._y - self._frame.chin) / self._frame.face_height - 1.0)
        aside = 1.0 - smoothstep(np.abs(self._x) / self._frame.face_width - 1.2)
        return np.asarray(rise * fall * aside * self._bottom * self._sides)


def _depth(frame: FaceFrame, landmarks: FloatArray, points: Grid) -> Grid:
    """Depth in front of the plane of the ears, px: the mesh's on the face, an ellipsoid's on the rest of the head.

    It is 0 at the silhouette, so that a turn moves the features but not the outline, as on a real head.
    """
    ears = landmarks[[mesh.LEFT_SIDE, mesh.RIGHT_SIDE], 2].mean()
    heights = (ears - landmarks[:468, 2]).astype(np.float64)
    local = frame.local(points)
    total, weighted = _near(points, landmarks[:468, :2].astype(np.float64), heights, 0.055 * frame.face_width)
    middle = frame.chin - 0.66 * frame.face_height
    reach = (local[..., 0] / (0.6 * frame.face_width)) ** 2 + (
        (local[..., 1] - middle) / (0.78 * frame.face_height)
    ) ** 2
    ellipsoid = 0.6 * frame.face_width * np.sqrt(np.clip(1.0 - reach, 0.0, 1.0))
    ellipsoid *= smoothstep((1.0 - reach) / 0.3)  # level at the silhouette: no crease in the background
    return np.asarray((weighted + 0.6 * ellipsoid) / (total + 0.6))


def _near(points: Grid, places: Grid, heights: Grid, spread: float) -> tuple[Grid, Grid]:
    """The landmarks' Gaussian weights summed at every grid point, and the sum of weights times heights, [rows, columns] each.

    A Gaussian of the distance is the product of one across and one down, so that two matrix products give all sums.
    """
    across, down = (
        np.exp(-((line[:, None] - places[None, :, axis]) ** 2) / (2 * spread**2))
        for axis, line in enumerate((points[0, :, 0], points[:, 0, 1]))
    )
    return down @ across.T, (down * heights) @ across.T
