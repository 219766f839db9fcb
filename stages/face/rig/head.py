"""Displacement fields of the head and chest.

The head and the neck are carried as nearly one rigid body, and the shoulders follow less over a long way, so that nothing is
stretched much. Small turns are parallax by a depth that is 0 at the silhouette, so that a turn moves the features but not the
outline, as on a real head. From temple to temple the field is nearly affine, because glasses sit there and are stiff: a straight
line bends little, and hardly at all where glasses are worn. `stages.face.rig.head_bounds` bounds the fields for each portrait.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, ramp, smoothstep
from stages.face.sampling import blur

Grid = npt.NDArray[np.float64]

_DEGREE = np.pi / 180
#: Lift of the chest as a fraction of the face's width; about 0.6 % of the shoulders'.
_BREATH = 0.016
#: Way over which the head's movement fades through neck and shoulders, in face heights from just above the chin.
_SHOULDERS = 1.25
#: Where the shoulders begin, which stay as the head goes up and down: from this part of the way to the chin on, over so many face
#: heights; and from so many face widths aside, over so many.
_STILL_FROM, _STILL_DOWN, _STILL_ASIDE = 0.2, 0.35, (0.35, 0.6)
#: In a picture that cannot be split, movement fades out within this fraction of the shorter side from the border.
_UNSPLIT_BORDER = 0.28
#: The depth by which the head turns, in face widths: a ridge along the nose. One picture does not show what a turning nose
#: uncovers, and even slopes let the face turn twice as far as its own depth does, for the same stretch.
_PEAK, _SIDE, _SOFTEN = 0.5, 0.66, 0.08
#: With glasses the depth is a parabola between the temples, by so much for one face width, and falls to 0 over so much beyond.
#: With its part along the face the field is a projective map there, and every straight line stays straight.
_CURVED, _CURVED_SIDE = 1.6, 0.75
#: Beside the glasses' band, in face widths above and below the eyes, that part along the face fades within so much.
_BAND, _BAND_FADES = 0.3, 0.5
#: The depth by which the head nods, in face widths; from where to where it rises evenly, down to the nose's middle, and to where
#: it falls again, in face heights below the chin.
_NOD_PEAK, _NOD_RISES, _NOD_FALLS, _NOD_SOFTEN = 0.5, (-1.85, -0.46), 0.9, 0.04
#: The nose stands out from both depths, in parts of them: of the nod, and of the turn with glasses. Half its width at the eyes
#: and at the tip, the way from the tip down to where it ends, and a blur, in face widths.
_NOSE_NODS, _NOSE_TURNS, _NOSE_WIDTH, _NOSE_ENDS, _NOSE_SOFTEN = 0.2, 0.1, (0.08, 0.14), 0.3, 0.025
#: Points of the mesh at both temples, and at the eyes' corners.
_TEMPLES, _CORNERS = [127, 356], [33, 133, 362, 263]


@dataclass(frozen=True)
class Nod:
    """How the depth by which the head nods falls from the middle of the face to its sides.

    Attributes:
        curved: as far as to this part of the way to the temples it is a parabola.
        lower: by how much it is less there, in parts of its peak. So much a straight line from temple to temple is bent.
        side: face widths over which it falls to 0 from there.
    """

    curved: float
    lower: float
    side: float


#: Without glasses, and with them. A line that stays straight moves the temples along with the eyes, and such a head only slides:
#: the measured nod is 10 degrees without glasses, and with glasses 3.
_BARE, _WORN = Nod(0.7, 0.25, 0.35), Nod(1.0, 0.1, 0.5)


class HeadFields:
    """Computes the head's fields on a grid of picture points, [rows, columns, 2] px.

    Displacements are in the face's directions, for 1 degree or 1 face width.
    """

    def __init__(
        self,
        frame: FaceFrame,
        landmarks: FloatArray,
        size: tuple[int, int],
        points: Grid,
        split: bool = True,
        glasses: bool = False,
    ) -> None:
        """Prepare the fields.

        Args:
            frame, landmarks: the face, px.
            size: the picture's width and height, px.
            points: where the fields are computed.
            split: whether person and background are two layers; otherwise the whole picture moves, except at its border.
            glasses: whether glasses may be worn.
        """
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
        self._step = float(points[0, 1, 0] - points[0, 0, 0])
        self._nose = frame.local(landmarks[mesh.NOSE_TIP, :2])
        temples = frame.local(landmarks[_TEMPLES, :2])[:, 0]
        #: Places beside the middle of both temples, and below the eyes, in face widths; and the way to a temple.
        self._aside = (self._x - temples.mean()) / frame.face_width
        self._eyes = float(frame.local(landmarks[_CORNERS, :2])[:, 1].mean())
        self._under = (self._y - self._eyes) / frame.face_width
        self._temple = abs(float(np.diff(temples)[0])) / 2 / frame.face_width
        tip = self._nose_tip()
        self._turn = (self._turn_with_glasses(tip) if glasses else self._turn_as_ridge()) * around[..., None]
        self._nod = self._nod_depth(tip, _WORN if glasses else _BARE) * around
        self._head = around * (1.0 - smoothstep(self._below(0.8 * frame.chin) / _SHOULDERS))
        self._carried = self._head * self._beside_shoulders()
        self._body = around * (1.0 - smoothstep(self._below(frame.chin + 0.4 * frame.face_height) / 1.8))
        self._chest = around * self._lift()

    def all(self) -> dict[str, Grid]:
        """Every field by its parameter's name."""
        frame = self._frame
        pivot = frame.chin + 0.4 * frame.face_height  # the neck's base
        zero = np.zeros_like(self._x)
        return {
            "head_yaw": _DEGREE * self._turn,
            "head_pitch": np.stack([zero, _DEGREE * self._nod], axis=-1),
            "head_roll": _DEGREE * np.stack([-(self._y - pivot), self._x], axis=-1) * self._head[..., None],
            "head_x": np.stack([frame.face_width * self._head, zero], axis=-1),
            "head_y": np.stack([zero, frame.face_width * self._carried], axis=-1),
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

    def _level(self) -> Grid:
        """1 at the height of the face, 0 above the head and below the neck."""
        chin = self._frame.chin
        return np.asarray(
            smoothstep((self._below(chin) + 1.75) / 0.7) * (1.0 - smoothstep(self._below(0.7 * chin) / 0.7))
        )

    def _beside_shoulders(self) -> Grid:
        """1 at the head and at the neck, 0 at the shoulders, which stay where they are as the head goes up and down."""
        below = smoothstep(self._below(_STILL_FROM * self._frame.chin) / _STILL_DOWN)
        aside = smoothstep((np.abs(self._x) / self._frame.face_width - _STILL_ASIDE[0]) / _STILL_ASIDE[1])
        return np.asarray(1.0 - below * aside)

    def _turn_as_ridge(self) -> Grid:
        """Displacement by a turn about the neck, as of a ridge along the nose, [rows, columns, 2]."""
        wide = self._frame.face_width
        sides = np.clip(1.0 - np.abs(self._x - self._nose[0] / 2) / (_SIDE * wide), 0.0, 1.0)
        across = blur(_PEAK * wide * sides * self._level(), _SOFTEN * wide / self._step)
        return np.stack([across, np.zeros_like(across)], axis=-1)

    def _turn_with_glasses(self, tip: Grid) -> Grid:
        """The same as a projective map between the temples."""
        within = np.minimum(np.abs(self._aside), self._temple)
        beyond = 1.0 - ramp((np.abs(self._aside) - self._temple) / _CURVED_SIDE)
        level = self._level()
        across = (1.0 - _CURVED * within**2) * beyond * level + _NOSE_TURNS * tip
        height = np.clip(self._under, -_BAND, _BAND) * (1.0 - ramp((np.abs(self._under) - _BAND) / _BAND_FADES))
        along = -_CURVED * np.sign(self._aside) * within * beyond * height * level
        return np.asarray(_PEAK * self._frame.face_width * np.stack([across, along], axis=-1))

    def _nod_depth(self, tip: Grid, nod: Nod) -> Grid:
        """Displacement by a nod, down the face, [rows, columns]."""
        wide, below = self._frame.face_width, self._below(self._frame.chin)
        end = nod.curved * self._temple
        aside = np.abs(self._aside)
        ridge = (1.0 - nod.lower * np.minimum(aside / end, 1.0) ** 2) * (1.0 - ramp((aside - end) / nod.side))
        first, last = _NOD_RISES
        height = np.clip(
            np.minimum((below - first) / (last - first), (_NOD_FALLS - below) / (_NOD_FALLS - last)), 0.0, 1.0
        )
        return np.asarray(_NOD_PEAK * wide * (ridge * blur(height, _NOD_SOFTEN * wide / self._step) + _NOSE_NODS * tip))

    def _nose_tip(self) -> Grid:
        """1 at the tip of the nose, 0 beside it, at the height of the eyes and below."""
        wide = self._frame.face_width
        up = np.clip((self._y - self._eyes) / max(self._nose[1] - self._eyes, 0.1 * wide), 0.0, 1.0)
        half = (_NOSE_WIDTH[0] + (_NOSE_WIDTH[1] - _NOSE_WIDTH[0]) * up) * wide
        down = np.clip(1.0 - (self._y - self._nose[1]) / (_NOSE_ENDS * wide), 0.0, 1.0)
        shape = np.minimum(up, down) * np.clip(1.0 - np.abs(self._x - self._nose[0]) / half, 0.0, 1.0)
        return np.asarray(blur(shape, _NOSE_SOFTEN * wide / self._step))

    def _lift(self) -> Grid:
        """1 at the chest, 0 at the chin and far below."""
        rise = smoothstep(self._below(self._frame.chin + 0.12 * self._frame.face_height) / 0.5)
        fall = 1.0 - smoothstep(self._below(self._frame.chin) - 1.0)
        return np.asarray(rise * fall)
