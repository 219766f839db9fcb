"""Displacement fields of the head and chest.

The head and the neck are carried as nearly one rigid body, and the shoulders follow less over a long way, so that nothing is
stretched much. Small turns are parallax by a depth that is 0 at the silhouette, so that a turn moves the features but not the
outline, as on a real head. `stages.face.rig.head_bounds` bounds the fields for each portrait.
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
#: The head's depth, in face widths: a ridge along the nose, for turns and for nods. One picture does not show what a
#: turning nose uncovers, and even slopes let the face turn twice as far as its own depth does, for the same stretch.
_PEAK, _SIDE, _SOFTEN = 0.5, 0.66, 0.08
#: A nod moves the ridge down and the sides of the face less, which shears the face: for the same turn, half the strain of
#: pressing and stretching it. The ridge is round, or brows would slant at every nod. Its half width, in face widths, and power;
#: from where and to where it rises above the chin and falls again below, in face heights; the share of the nose, which stands
#: out from it; and the nose's half width and height.
_NOD_SIDE, _NOD_ROUND, _NOD_RISES, _NOD_FALLS, _NOD_NOSE, _NOSE = (
    0.6,
    1.75,
    (-1.85, -0.66),
    (-0.4, 0.9),
    0.3,
    (0.4, 0.38),
)


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
        nose = frame.local(landmarks[mesh.NOSE_TIP, :2])
        self._across, self._along = self._ridges(nose, float(points[0, 1, 0] - points[0, 0, 0]), around)
        self._head = around * (1.0 - smoothstep(self._below(0.8 * frame.chin) / _SHOULDERS))
        self._body = around * (1.0 - smoothstep(self._below(frame.chin + 0.4 * frame.face_height) / 1.8))
        self._chest = around * self._lift()

    def all(self) -> dict[str, Grid]:
        """Every field by its parameter's name."""
        frame = self._frame
        pivot = frame.chin + 0.4 * frame.face_height  # the neck's base
        zero = np.zeros_like(self._x)
        return {
            "head_yaw": np.stack([_DEGREE * self._across, zero], axis=-1),
            "head_pitch": np.stack([zero, _DEGREE * self._along], axis=-1),
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

    def _ridges(self, nose: Grid, step: float, around: Grid) -> tuple[Grid, Grid]:
        """Depth by which the head turns and by which it nods, px."""
        frame = self._frame
        wide, high = frame.face_width, frame.face_height
        sides = np.clip(1.0 - np.abs(self._x - nose[0] / 2) / (_SIDE * wide), 0.0, 1.0)
        level = smoothstep((self._below(frame.chin) + 1.75) / 0.7) * (
            1.0 - smoothstep(self._below(0.7 * frame.chin) / 0.7)
        )
        below = self._below(frame.chin)
        rise = (below - _NOD_RISES[0]) / (_NOD_RISES[1] - _NOD_RISES[0])
        fall = (_NOD_FALLS[1] - below) / (_NOD_FALLS[1] - _NOD_FALLS[0])
        aside, down = np.abs(self._x - nose[0]) / wide, (self._y - nose[1]) / high
        ridge = np.clip(np.minimum.reduce([rise, fall, 1.0 - (aside / _NOD_SIDE) ** _NOD_ROUND]), 0.0, 1.0)
        tip = np.clip(1.0 - np.hypot(down / _NOSE[1], aside / _NOSE[0]), 0.0, 1.0)
        heights = (1 - _NOD_NOSE) * ridge + _NOD_NOSE * tip
        soft = _SOFTEN * wide / step
        across = blur(_PEAK * wide * sides * level * around, soft)
        along = blur(_PEAK * wide * heights * around, soft)
        return np.asarray(across, np.float64), np.asarray(along, np.float64)

    def _lift(self) -> Grid:
        """1 at the chest, 0 at the chin and far below."""
        rise = smoothstep(self._below(self._frame.chin + 0.12 * self._frame.face_height) / 0.5)
        fall = 1.0 - smoothstep(self._below(self._frame.chin) - 1.0)
        return np.asarray(rise * fall)
