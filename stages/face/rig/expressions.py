"""Displacement fields of the face's expressions: how far each point of the portrait moves at full strength.

The portrait is cut along the lip line. Points above it follow the `upper` field, points below it the `lower` field; beyond the
corners of the mouth both fields are equal, so the cut ends there. All formulas use the face's coordinates
(stages/face/rig/face_frame.py) and fractions of its unit, about one mouth's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, smoothstep

Grid = npt.NDArray[np.float64]

#: Displacement at full strength, in units. Speech uses about half of the jaw's range.
JAW, LOWER_LIP, _UPPER_LIP, _WIDE, _PUCKER = 0.52, 0.13, 0.10, 0.115, 0.16
_JAW_NARROWS = 0.08
_SMILE_ACROSS, _SMILE_UP, _TUCK = 0.07, 0.07, 0.05
_BROW = 0.060  # of the face's width
#: A mouth that is open in the picture is closed by the lower lip rising by this fraction of the gap; the upper lip does the rest.
LOWER_CLOSES = 0.6
#: The corners of the mouth follow the jaw by this fraction.
_CORNER = 0.36
#: The chin moves by this fraction of the lower lip's way, because the jaw turns about its hinge, away from the camera.
_CHIN = 0.86
#: A brow rises by at most this fraction of its distance from the lid, so that the skin between them is not drawn into streaks.
_BROW_MOST = 0.75
#: A smile lifts the cheeks, a frown lowers and joins the inner ends of the brows: displacement and reach, of the face's width.
_CHEEK_UP, _CHEEK_REACH = 0.026, 0.13
_FROWN_DOWN, _FROWN_IN, _FROWN_REACH = 0.020, 0.014, 0.10


@dataclass(frozen=True)
class ExpressionField:
    """One expression: (across, down) displacement of both layers in px, [rows, columns, 2] each, in the face's directions."""

    lower: Grid
    upper: Grid


class ExpressionFields:
    """Computes all expression fields on a grid of picture points, [rows, columns, 2] px."""

    def __init__(
        self, frame: FaceFrame, landmarks: FloatArray, curves: tuple[FloatArray, FloatArray], points: Grid
    ) -> None:
        self._frame = frame
        self._landmarks = frame.local(landmarks[:, :2])
        local = frame.local(points)
        self._x, self._y = local[..., 0], local[..., 1]
        self._t = frame.along_mouth(self._x)
        self._beyond = frame.beyond_mouth(self._x)
        upper, lower = (frame.local(curve) for curve in curves)
        self._above = self._y - np.interp(self._x, upper[:, 0], upper[:, 1])  # < 0 above the upper lip's edge
        self._below = self._y - np.interp(self._x, lower[:, 0], lower[:, 1])  # > 0 below the lower lip's edge
        self._gap = np.interp(self._x, upper[:, 0], lower[:, 1] - upper[:, 1])
        inside = np.clip(1.0 - np.abs(self._t) ** 2.2, 0.0, 1.0)
        #: The opening's outline: 1 at the middle, 0 at the corners, round in between.
        self._lens = inside**0.78
        self._outside = smoothstep((np.abs(self._t) - 0.88) / 0.12)

    def all(self) -> dict[str, ExpressionField]:
        """Compute every field, by the name of its parameter."""
        fields = self._fields()
        return {name: self._trimmed(field) for name, field in fields.items()}

    def _trimmed(self, field: ExpressionField) -> ExpressionField:
        """Fade each layer out under the other lip, where it is never visible."""
        inside, unit = 1.0 - self._outside, self._frame.unit
        lower = 1.0 - inside * smoothstep((-self._below / unit - 0.4) / 0.3)
        upper = 1.0 - inside * smoothstep((self._above / unit - 0.4) / 0.3)
        return ExpressionField(field.lower * lower[..., None], field.upper * upper[..., None])

    def _fields(self) -> dict[str, ExpressionField]:
        return {
            "jaw": self._jaw(),
            "lower_lip": self._lower_lip(),
            "upper_lip": self._upper_lip(),
            "wide": self._wide(),
            "pucker": self._pucker(),
            "press": self._press(),
            "tuck": self._tuck(),
            "close": self._close(),
            "smile": self._smile(),
            "brow_left": self._brow(0),
            "brow_right": self._brow(1),
            "cheeks": self._cheeks(),
            "frown": self._frown(),
        }

    def _zero(self) -> Grid:
        return np.zeros((*self._x.shape, 2))

    def _vertical(self, lower: Grid, upper: Grid) -> ExpressionField:
        field = ExpressionField(self._zero(), self._zero())
        field.lower[..., 1], field.upper[..., 1] = lower, upper
        return field

    def _fade_up(self) -> Grid:
        """1 at the upper lip's edge and below, 0 at the nose; the cheeks follow farther up."""
        side = np.minimum(np.abs(self._t), 1.0) ** 2
        reach = (1 - side) * 0.95 * abs(self._frame.nose) + side * 1.25 * self._frame.unit
        return 1.0 - smoothstep(-self._above / reach)

    def _jaw(self) -> ExpressionField:
        """The jaw drops: the chin and the lower lip as one, the corners by a part, the upper lip not at all."""
        frame = self._frame
        skin = _CORNER * (1.0 - self._lens) * (1.0 - smoothstep(self._beyond / 1.15))
        fade_up = self._fade_up()
        side = np.where(self._x < 0, frame.half_face[0], frame.half_face[1])
        rigid = _CHIN * (1.0 - smoothstep((np.abs(self._x) / side - 0.25) / 1.0))
        to_chin = smoothstep((self._below - 0.5 * frame.lower_lip) / (0.62 * frame.chin))
        below = (1 - to_chin) * (skin + self._lens) + to_chin * rigid
        below *= 1.0 - smoothstep((self._y - frame.chin) / (1.1 * frame.unit))
        ring = np.where(self._above < 0, skin * fade_up, below)  # common to both layers beyond the corners
        lower = np.where(self._below < 0, self._mix(skin + self._lens, ring), below)
        upper = np.where(self._above > 0, self._mix(skin, ring), skin * fade_up)
        field = self._vertical(JAW * frame.unit * lower, JAW * frame.unit * upper)
        narrower = -_JAW_NARROWS * frame.unit * self._toward_middle(0.8)
        field.lower[..., 0], field.upper[..., 0] = narrower, narrower
        return field

    def _spread(self, height: float) -> Grid:
        """1 at the lips, fading over the cheeks, below (within `height` units) and above, where the nose stays as it is."""
        below = np.exp(-((np.maximum(self._y, 0) / (height * self._frame.unit)) ** 2))
        side = smoothstep(np.abs(self._t) - 0.6)  # beside the nose the cheek goes along
        reach = (0.85 + 0.9 * side) * abs(self._frame.nose)
        above = 1.0 - smoothstep(-self._y / reach)
        return np.asarray(below * above * (1.0 - smoothstep(self._beyond / 1.2)))

    def _toward_middle(self, height: float) -> Grid:
        """-1 at the left corner, 1 at the right, fading all round."""
        return np.asarray(np.sin(np.clip(self._t, -1, 1) * np.pi / 2) * self._spread(height))

    def _mix(self, hidden: Grid, ring: Grid) -> Grid:
        """Use `hidden` for the part of a layer under the other lip, and `ring` beyond the corners."""
        return (1 - self._outside) * hidden + self._outside * ring

    def _lower_lip(self) -> ExpressionField:
        fade = 1.0 - smoothstep((self._below - 0.7 * self._frame.lower_lip) / (0.7 * self._frame.chin))
        return self._vertical(LOWER_LIP * self._frame.unit * self._lens**0.6 * fade, self._zero()[..., 0])

    def _upper_lip(self) -> ExpressionField:
        frame = self._frame
        room = max(abs(frame.nose) - 0.7 * frame.upper_lip, 0.1 * frame.unit)
        fade = 1.0 - smoothstep((-self._above - 0.7 * frame.upper_lip) / room)
        # In a picture with an open smile the lip is raised already, and there are no teeth farther up.
        left = 1.0 - 0.8 * min(float(self._gap.max()) / (0.15 * frame.unit), 1.0)
        return self._vertical(self._zero()[..., 0], -_UPPER_LIP * left * frame.unit * self._lens**0.8 * fade)

    def _wide(self) -> ExpressionField:
        unit = self._frame.unit
        spread = self._spread(0.85)
        shift = self._zero()
        shift[..., 0] = _WIDE * unit * np.clip(self._t, -1, 1) * spread
        shift[..., 1] = -0.10 * self._y * np.exp(-((self._y / (0.35 * unit)) ** 2)) * spread
        return ExpressionField(shift, shift.copy())

    def _pucker(self) -> ExpressionField:
        """The corners move inward and the lips become fuller, as in rounded vowels."""
        lower, upper = self._zero(), self._zero()
        lower[..., 0] = upper[..., 0] = -_PUCKER * self._frame.unit * self._toward_middle(0.7)
        level = self._level()
        lower[..., 1] = 0.20 * self._thickening(self._below, self._frame.lower_lip) + level
        upper[..., 1] = 0.20 * self._thickening(self._above, self._frame.upper_lip) + level
        return ExpressionField(lower, upper)

    def _level(self) -> Grid:
        """Move corners that a smile raised (or a frown lowered) halfway to the height of the lips' middle."""
        corner = np.where(self._x < 0, self._landmarks[78, 1], self._landmarks[308, 1])
        middle = (self._landmarks[13, 1] + self._landmarks[14, 1]) / 2
        fade = np.exp(-((self._y / (0.5 * self._frame.unit)) ** 2)) * (1.0 - smoothstep(self._beyond / 1.1))
        return np.asarray(0.5 * (middle - corner) * np.minimum(np.abs(self._t), 1.0) ** 2 * fade)

    def _thickening(self, distance: Grid, thickness: float) -> Grid:
        """Distance from the lip's edge, fading behind the lip. Used as a displacement, it thickens the lip."""
        return np.asarray(distance * np.exp(-((distance / (1.7 * thickness)) ** 2)) * np.sqrt(self._lens))

    def _press(self) -> ExpressionField:
        lower = -0.24 * self._thickening(self._below, self._frame.lower_lip)
        upper = -0.24 * self._thickening(self._above, self._frame.upper_lip)
        return self._vertical(lower, upper)

    def _tuck(self) -> ExpressionField:
        """For F and V: the lower lip rises under the upper teeth and turns in."""
        frame = self._frame
        fade = 1.0 - smoothstep((self._below - 0.8 * frame.lower_lip) / (0.7 * frame.chin))
        lower = -_TUCK * frame.unit * self._lens * fade
        lower -= 0.28 * self._thickening(self._below, frame.lower_lip)
        return self._vertical(lower, self._zero()[..., 0])

    def _close(self) -> ExpressionField:
        """Close a mouth that is open in the picture; the lower lip moves farther than the upper one."""
        frame = self._frame
        fade_down = 1.0 - 0.75 * smoothstep((self._below - 0.6 * frame.lower_lip) / (0.75 * frame.chin))
        fade_down *= 1.0 - smoothstep((self._y - frame.chin) / frame.unit)
        return self._vertical(-LOWER_CLOSES * self._gap * fade_down, (1 - LOWER_CLOSES) * self._gap * self._fade_up())

    def _smile(self) -> ExpressionField:
        unit = self._frame.unit
        shift = self._zero()
        for side, index in ((-1, 78), (1, 308)):
            corner = self._landmarks[index]
            near = np.exp(-(((self._x - corner[0]) ** 2 + (self._y - corner[1]) ** 2) / (0.42 * unit) ** 2))
            shift[..., 0] += side * _SMILE_ACROSS * unit * near
            shift[..., 1] -= _SMILE_UP * unit * near
        return ExpressionField(shift, shift.copy())

    def _brow(self, side: int) -> ExpressionField:
        """The brow and the forehead above it rise; the lid below stays."""
        upper_lid, _, brow = mesh.EYES[side]
        line = self._landmarks[list(brow)]
        line = line[np.argsort(line[:, 0])]
        lid = self._landmarks[list(upper_lid), 1].mean()
        height = np.interp(self._x, line[:, 0], line[:, 1])
        width = line[-1, 0] - line[0, 0]
        middle = (line[0, 0] + line[-1, 0]) / 2
        across = 1.0 - smoothstep((np.abs(self._x - middle) / width - 0.35) / 0.55)
        over_lid = smoothstep((lid - 0.1 * (lid - height) - self._y) / np.maximum(0.8 * (lid - height), 1.0))
        forehead = 1.0 - smoothstep(
            (height - self._y - 0.06 * self._frame.face_height) / (0.30 * self._frame.face_height)
        )
        shift = self._zero()
        rise = min(_BROW * self._frame.face_width, _BROW_MOST * float(lid - line[:, 1].mean()))
        shift[..., 1] = -max(rise, 0.0) * across * over_lid * forehead
        return ExpressionField(shift, shift.copy())

    def _cheeks(self) -> ExpressionField:
        """The cheeks below the eyes rise."""
        shift = self._zero()
        for index in (50, 280):
            shift[..., 1] -= _CHEEK_UP * self._frame.face_width * self._near(self._landmarks[index], _CHEEK_REACH)
        return ExpressionField(shift, shift.copy())

    def _frown(self) -> ExpressionField:
        """The inner ends of the brows come down and together."""
        width, shift = self._frame.face_width, self._zero()
        for side, index in ((1, mesh.EYES[0][2][-1]), (-1, mesh.EYES[1][2][0])):
            near = self._near(self._landmarks[index], _FROWN_REACH)
            shift[..., 0] += side * _FROWN_IN * width * near
            shift[..., 1] += _FROWN_DOWN * width * near
        return ExpressionField(shift, shift.copy())

    def _near(self, point: FloatArray, reach: float) -> Grid:
        """1 at a point, fading within `reach` face widths."""
        away = (self._x - point[0]) ** 2 + (self._y - point[1]) ** 2
        return np.asarray(np.exp(-away / (reach * self._frame.face_width) ** 2))
