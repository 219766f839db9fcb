"""Displacement fields of the mouth, joined with those of brows and cheeks: how far each point moves at full strength.

The portrait is cut along the lip line. Points above it follow the `upper` field, points below it the `lower` field; beyond the
corners of the mouth both fields are equal, so the cut ends there. All formulas use the face's coordinates
(stages/face/rig/face_frame.py) and fractions of its unit, about one mouth's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.expressions.ring import ring_end, ring_lens, unsmiles
from stages.face.rig.expressions.upper_face import Grid, upper_face_fields
from stages.face.rig.face_frame import FaceFrame, ramp, smoothstep
from stages.face.rig.glasses import share_behind, usual_rim
from stages.face.rig.lip_outline import LipOutline

#: Displacement at full strength, in units. Clear open vowels use about two thirds of the jaw's range.
JAW, LOWER_LIP, _UPPER_LIP, _WIDE, _PUCKER = 0.56, 0.13, 0.10, 0.122, 0.032
_JAW_NARROWS = 0.07
#: Puckered corners that are hidden by hair come in by so many units more: of what they leave beside a ring, only the lips are
#: painted over.
_PUCKER_IN_HAIR = 0.06
#: The upper lip rises by at most this fraction of the room between it and the nose, so that the skin there is not squeezed flat.
_ROOM_USED = 0.33
#: Units under the other lip within which a layer goes over into the other one.
_HIDDEN = 0.9
#: The upper lip arches over a round opening by this part of the jaw's way.
_ARCHES = 0.08
#: Gap from which on a mouth is wide open in the picture, as most smiles with teeth are, units.
_OPEN = 0.15
#: The corners follow the jaw of rounded lips by this fraction: the ring of the lips stays in their middle.
_ROUND_CORNER = 0.50
#: Fractions by which puckered lips become thicker, at their middle and toward the corners.
_FULLER, _FULLER_ASIDE = 0.16, 0.34
#: Lips that a smile has drawn thin become full again when they are rounded: as thick as so many units, the upper and the lower
#: one, but by at most this part thicker; half of that as they are puckered, and half as the jaw opens them.
_FULL_UPPER, _FULL_LOWER, _FULL_MOST = 0.125, 0.16, 1.0
#: Puckered lips come down over the upper teeth, as a whole by half of so many units. A mouth that is open in the picture shows
#: more of them: all of it comes down by this fraction of its gap more, and at most so many units.
_COVERS, _COVERS_OPEN, _COVERS_OPEN_MOST = 0.190, 0.45, 0.07
#: Lips that close while the jaw is down: the lower lip does this part of the way, the upper lip the rest.
_LOWER_SEALS = 0.8
_SMILE_ACROSS, _SMILE_UP, _TUCK = 0.07, 0.07, 0.05
#: Puckered corners move by at most this part of their distance from the middle.
_MOST_INWARD = 0.40
#: Puckered corners come this part of the way to the height of the lips' middle: a smile's would else stay pointed; the second
#: part is that of a mouth that is open in the picture.
_LEVELS = 1.0, 1.1
#: A round opening of a smile levels its line by this part of what full puckering does.
_ROUND_LEVELS = 0.6
#: Lips that are round about an opening are narrower by this part of what full puckering does. Corners come in by at most this
#: part of the way between them and the jaw's contour, over which the cheek is stretched.
_ROUND_INWARD, _CHEEK_STRETCHES = 0.2, 0.45
#: A mouth that is open in the picture is closed by the upper lip by at most this fraction of the gap, and so many units; the
#: lower lip does the rest. A smile's upper lip hardly moves: its teeth stay visible.
_UPPER_CLOSES, _UPPER_CLOSES_MOST = 0.25, 0.03
#: Where the lips of an open mouth meet, their line is raised to the height of its middle by this part of what it hangs below it.
_UNARCHES = 0.85
#: The corners of the mouth follow the jaw by this fraction.
_CORNER = 0.36
#: Beside the mouth its movements are whole only so many units below the lips; from where they begin, at the nose's base and below
#: the rims of glasses, they grow over so many at least.
_CHEEK_MOVES, _LEAST_WAY = 0.3, 0.13
#: Pressed lips cover so many units of each other, so that no coarse field leaves a gap between them.
_OVERLAP = 0.010
#: The chin moves by at most and at least these parts of the lower lip's way: with the second, skin below the lip is stretched. It
#: moves by the least with room below it of so many ways of the jaw, and for each more by the last number more.
_CHIN, _CHIN_LEAST, _CLOSE, _CHIN_BY_ROOM = 1.0, 0.64, 0.45, 0.73


def lower_closes(gap: float, unit: float) -> float:
    """The part of a mouth's greatest `gap`, px, that the lower lip closes."""
    return 1.0 - min(_UPPER_CLOSES, _UPPER_CLOSES_MOST * unit / max(gap, 1e-6))


def pucker_lowers(gap: float, unit: float) -> float:
    """How far a mouth with a greatest `gap` in the picture, px, comes down as a whole when it is puckered, px."""
    return min(_COVERS_OPEN * gap, _COVERS_OPEN_MOST * unit)


@dataclass(frozen=True)
class ExpressionField:
    """One expression: (across, down) displacement of both layers in px, [rows, columns, 2] each, in the face's directions."""

    lower: Grid
    upper: Grid


class ExpressionFields:
    """Computes all expression fields on a grid of picture points, [rows, columns, 2] px."""

    def __init__(
        self,
        frame: FaceFrame,
        landmarks: FloatArray,
        curves: tuple[FloatArray, FloatArray],
        points: Grid,
        rim: float | None = None,
        below: float = np.inf,
        hair: float = 0.0,
    ) -> None:
        """Prepare the fields.

        Args:
            frame, landmarks: the face, px.
            curves: the upper and the lower lip's edge, px, [n, 2] each.
            points: where the fields are computed.
            rim: how low glasses reach, as of `find_glasses`; None without any.
            below: room between the chin and the picture's lower border, px.
            hair: part of the skin beside the corners that hair covers.
        """
        #: Part of the lower lip's way by which the chin moves.
        room = below / (JAW * frame.unit) - _CLOSE
        self._chin_moves = min(_CHIN_LEAST + _CHIN_BY_ROOM * max(room, 0.0), _CHIN)
        self._glasses = rim
        self._pucker_by = (_PUCKER + _PUCKER_IN_HAIR * hair) * frame.unit
        self._frame = frame
        self._landmarks = frame.local(landmarks[:, :2])
        local = frame.local(points)
        self._x, self._y = local[..., 0], local[..., 1]
        self._t = frame.along_mouth(self._x)
        self._beyond = frame.beyond_mouth(self._x)
        upper, lower = (frame.local(curve) for curve in curves)
        self._upper = upper
        eyes = self._landmarks[[33, 133, 362, 263]].reshape(2, 2, 2).mean(axis=1)
        self._eye_distance = float(np.linalg.norm(eyes[1] - eyes[0]))
        #: Where the lower rims of glasses end, or would.
        self._rim = usual_rim(landmarks, frame) if rim is None else rim
        self._nose_width = max(float(self._landmarks[358, 0] - self._landmarks[129, 0]) / 2, 0.05 * frame.face_width)
        self._above = self._y - np.interp(self._x, upper[:, 0], upper[:, 1])  # < 0 above the upper lip's edge
        self._below = self._y - np.interp(self._x, lower[:, 0], lower[:, 1])  # > 0 below the lower lip's edge
        self._gap = np.interp(self._x, upper[:, 0], lower[:, 1] - upper[:, 1])
        #: How far the picture's mouth is open, 0 to 1.
        self._is_open = float(smoothstep(np.array(self._gap.max() / (_OPEN * frame.unit))))
        line = upper[:, 1] + (1 - lower_closes(float(self._gap.max()), frame.unit)) * (lower[:, 1] - upper[:, 1])
        middle = (frame.half_mouth[1] - frame.half_mouth[0]) / 2
        slopes = np.interp(self._x, upper[:, 0], line) - float(np.interp(middle, upper[:, 0], line))
        #: How far the line at which the lips meet lies below its middle, px: what closing straightens, and what is left.
        self._hangs = self._is_open * _UNARCHES * np.maximum(slopes, 0.0)
        self._slopes = slopes - self._hangs
        #: The opening's outline: 1 at the middle, 0 at the corners. Its slope is bounded: the fields must not fold.
        self._lens = np.clip(1.0 - np.abs(self._t) ** 2.3, 0.0, 1.0)
        #: The same for rounded lips, an ellipse whose ends are round: of the lower and of the upper lip.
        outline = LipOutline.of(landmarks, frame)
        end = ring_end(outline, (upper, lower), frame)
        thick_upper, thick_lower = outline.thickness(self._x, (upper, lower))
        self._round_lens = (
            ring_lens(self._x, self._below, thick_lower, end, frame),
            ring_lens(self._x, -self._above, thick_upper, end, frame),
        )

    def all(self) -> dict[str, ExpressionField]:
        """Compute every field, by the name of its parameter."""
        share = self._below_nose()[..., None]
        mouth = {name: self._joined(field) for name, field in self._mouth().items()}
        fields = {name: ExpressionField(field.lower * share, field.upper * share) for name, field in mouth.items()}
        for name, field in upper_face_fields(self._frame, self._landmarks, self._x, self._y).items():
            if self._glasses is not None:
                field *= share_behind(self._glasses, name, self._y, self._eye_distance)[..., None]
            fields[name] = ExpressionField(field, field.copy())
        return fields

    def _joined(self, field: ExpressionField) -> ExpressionField:
        """Let each layer go over into the other one where it lies under the other lip and is never visible.

        Beyond the corners both are equal, so that no layer has a step there, and neither folds.
        """
        over, under = (smoothstep(way / (_HIDDEN * self._frame.unit))[..., None] for way in (-self._below, self._above))
        apart = field.upper - field.lower
        return ExpressionField(field.lower + over * apart, field.upper - under * apart)

    def _below_nose(self) -> Grid:
        """How much of the mouth's movements remains: 0 at the nose and where the lower rims of glasses lie, 1 from the lips on.

        The mouth would else draw the nose's wings along, which lengthens the nose, and bend rims. Beside the mouth the cheek has
        a longer way from still to moving.
        """
        nose = self._frame.nose
        aside = np.abs(self._x - self._landmarks[mesh.NOSE_BASE, 0]) / self._nose_width
        cheek = smoothstep((aside - 0.45) / 0.85)
        first = nose + cheek * (self._rim - nose)
        lip = np.interp(self._x, self._upper[:, 0], self._upper[:, 1]) - 1.0 * self._frame.upper_lip
        last = lip + smoothstep((np.abs(self._t) - 0.9) / 0.7) * (_CHEEK_MOVES * self._frame.unit - lip)
        return ramp((self._y - first) / np.maximum(last - first, _LEAST_WAY * self._frame.unit))

    def _mouth(self) -> dict[str, ExpressionField]:
        return {
            "jaw": self._jaw((self._lens, self._lens), _CORNER),
            "round": self._round(),
            "seal": self._seal(),
            "lower_lip": self._lower_lip(),
            "upper_lip": self._upper_lip(),
            "wide": self._wide(),
            "pucker": self._pucker(),
            "press": self._press(),
            "tuck": self._tuck(),
            "close": self._close(),
            "smile": self._smile(),
        }

    def _zero(self) -> Grid:
        return np.zeros((*self._x.shape, 2))

    def _vertical(self, lower: Grid, upper: Grid) -> ExpressionField:
        field = ExpressionField(self._zero(), self._zero())
        field.lower[..., 1], field.upper[..., 1] = lower, upper
        return field

    def _fade_down(self, lip: float, reach: float = 0.7) -> Grid:
        """1 at the lower lip's edge and above, and down to the part `lip` of its thickness; 0 within `reach` chins."""
        return 1.0 - smoothstep((self._below - lip * self._frame.lower_lip) / (reach * self._frame.chin))

    def _jaw(self, lens: tuple[Grid, Grid], corner: float) -> ExpressionField:
        """The jaw drops and opens the lips by `lens`, the lower and the upper one: the chin and the lower lip as one, the corners
        by the part `corner`, the upper lip not at all.
        """
        frame = self._frame
        beside = corner * (1.0 - smoothstep(self._beyond / 1.15))
        side = np.where(self._x < 0, frame.half_face[0], frame.half_face[1])
        rigid = self._chin_moves * (1.0 - smoothstep((np.abs(self._x) / side - 0.25) / 1.0))
        to_chin = smoothstep((self._below - 0.5 * frame.lower_lip) / (0.62 * frame.chin))
        ends = 1.0 - smoothstep((self._y - frame.chin) / (1.3 * frame.unit))
        lower = ((1 - to_chin) * (beside * (1.0 - lens[0]) + lens[0]) + to_chin * rigid) * ends
        upper = ((1 - to_chin) * beside * (1.0 - lens[1]) + to_chin * rigid) * ends
        field = self._vertical(JAW * frame.unit * lower, JAW * frame.unit * upper)
        narrower = -_JAW_NARROWS * frame.unit * self._toward_middle(0.8)
        field.lower[..., 0], field.upper[..., 0] = narrower, narrower
        return field

    def _round(self) -> ExpressionField:
        """The jaw drops behind rounded lips: a smile's line becomes level, and the upper lip arches over the opening."""
        frame, field = self._frame, self._jaw(self._round_lens, _ROUND_CORNER)
        level = self._is_open * _ROUND_LEVELS * self._raised(self._slopes)
        arch = _ARCHES * JAW * frame.unit * self._round_lens[1]
        field.lower[..., 1] += level + self._filled(self._below, frame.lower_lip, _FULL_LOWER)
        field.upper[..., 1] += level - arch + self._filled(self._above, frame.upper_lip, _FULL_UPPER)
        inward = _ROUND_INWARD * self._inward()
        field.lower[..., 0] += inward
        field.upper[..., 0] += inward
        return field

    def _seal(self) -> ExpressionField:
        """The lips meet while the jaw stays down: as strong as "jaw", the gap is shut and the chin stays where it is."""
        frame = self._frame
        gap = JAW * frame.unit * self._lens
        fade = 1.0 - smoothstep((self._below - 0.6 * frame.lower_lip) / (0.8 * frame.chin))
        return self._vertical(-_LOWER_SEALS * gap * fade, (1 - _LOWER_SEALS) * gap)

    def _spread(self, height: float) -> Grid:
        """1 at the lips, fading over the cheeks and below, within `height` units."""
        unit = self._frame.unit
        below = np.exp(-((np.maximum(self._y, 0) / (height * unit)) ** 2))
        return np.asarray(below * (1.0 - smoothstep(self._beyond / 1.2)))

    def _toward_middle(self, height: float) -> Grid:
        """-1 at the left corner, 1 at the right, fading all round."""
        return np.asarray(self._sideways() * self._spread(height))

    def _sideways(self) -> Grid:
        """Position along the mouth, -1 to 1; beyond the corners it stays, without a kink."""
        return np.asarray(self._t / (1.0 + np.abs(self._t) ** 10) ** (1 / 10))

    def _lower_lip(self) -> ExpressionField:
        return self._vertical(LOWER_LIP * self._frame.unit * self._lens * self._fade_down(0.7), self._zero()[..., 0])

    def _upper_lip(self) -> ExpressionField:
        frame = self._frame
        room = max(abs(frame.nose) - 0.7 * frame.upper_lip, 0.1 * frame.unit)
        raised = min(_UPPER_LIP * frame.unit, _ROOM_USED * room)
        fade = 1.0 - smoothstep((-self._above - 0.7 * frame.upper_lip) / room)
        # In a picture with an open smile the lip is raised already, and there are no teeth farther up.
        left = 1.0 - 0.8 * min(float(self._gap.max()) / (0.15 * frame.unit), 1.0)
        return self._vertical(self._zero()[..., 0], -raised * left * self._lens * fade)

    def _wide(self) -> ExpressionField:
        unit = self._frame.unit
        spread = self._spread(0.85)
        shift = self._zero()
        shift[..., 0] = _WIDE * unit * self._sideways() * spread
        shift[..., 1] = -0.10 * self._y * np.exp(-((self._y / (0.35 * unit)) ** 2)) * spread
        return ExpressionField(shift, shift.copy())

    def _pucker(self) -> ExpressionField:
        """The corners move inward, the lips become fuller and come down over the upper teeth, as in rounded vowels."""
        lower, upper = self._zero(), self._zero()
        lower[..., 0] = upper[..., 0] = self._inward()
        # A smile's corners would stay raised, and a turned face's opening aslant.
        level = self._raised((_LEVELS[0] + self._is_open * (_LEVELS[1] - _LEVELS[0])) * self._slopes)
        aside = np.minimum(np.abs(self._t), 1.0)
        fuller = _FULLER + (_FULLER_ASIDE - _FULLER) * smoothstep(aside / 0.6)
        fuller *= 1.0 - smoothstep((aside - 0.7) / 0.3)
        lower_lip, upper_lip = self._frame.lower_lip, self._frame.upper_lip
        lower[..., 1] = fuller * self._behind_lip(self._below, lower_lip) + level
        upper[..., 1] = fuller * self._behind_lip(self._above, upper_lip) + level
        lower[..., 1] += self._filled(self._below, lower_lip, _FULL_LOWER)
        upper[..., 1] += self._filled(self._above, upper_lip, _FULL_UPPER)
        beside = 1.0 - smoothstep(self._beyond / 1.1)
        down = pucker_lowers(float(self._gap.max()), self._frame.unit) + _COVERS * self._frame.unit / 2
        upper[..., 1] += down * beside
        lower[..., 1] += down * beside * self._fade_down(0.7, 1.15)
        return ExpressionField(lower, upper)

    def _inward(self) -> Grid:
        """How far fully puckered lips move along the mouth, px: their corners come in."""
        frame = self._frame
        return self._narrowed(self._pucker_by + (1 - self._is_open) * unsmiles(frame))

    def _narrowed(self, inward: float) -> Grid:
        """How far the lips move along the mouth, px, if each corner comes in by `inward` px, or as far as the cheek allows."""
        frame = self._frame
        half = sum(frame.half_mouth) / 2
        inward = min(inward, _MOST_INWARD * half)
        # In a turned face both sides are narrowed alike, so that an ellipse stays one, and none is drawn into streaks.
        for side, face in zip(frame.half_mouth, frame.half_face, strict=True):
            inward = min(inward, _CHEEK_STRETCHES * max(face - side, 0.15 * frame.unit) * half / side)
        share = np.where(self._x < 0, *frame.half_mouth) / half
        return np.asarray(-inward * share * self._toward_middle(0.7))

    def _raised(self, by: Grid) -> Grid:
        """A displacement that raises the line at which the lips meet, and the skin about it, `by` so many px at each place."""
        fade = np.exp(-((np.maximum(self._y, 0) / (0.7 * self._frame.unit)) ** 2)) * (
            1.0 - smoothstep(self._beyond / 1.1)
        )
        return np.asarray(-by * fade)

    def _thickening(self, distance: Grid, thickness: float) -> Grid:
        """Distance from the lip's edge, fading behind the lip. Used as a displacement, it thickens the lip."""
        return self._behind_lip(distance, thickness) * self._lens

    def _filled(self, distance: Grid, thickness: float, full: float) -> Grid:
        """How far a lip that is thinner than `full` units grows, px; its ends do not."""
        grows = float(np.clip(full * self._frame.unit / thickness - 1, 0.0, _FULL_MOST))
        ends = 1.0 - smoothstep((np.abs(self._t) - 0.6) / 0.4)
        return np.asarray(grows * ends * self._behind_lip(distance, thickness))

    def _behind_lip(self, distance: Grid, thickness: float) -> Grid:
        return np.asarray(distance * np.exp(-((distance / (1.7 * thickness)) ** 2)))

    def _near_lip(self, behind: Grid, thickness: float) -> Grid:
        """1 at the lip's edge and under the other lip, fading `behind` the edge."""
        behind = np.maximum(behind, 0.0)
        return np.asarray(np.exp(-((behind / max(1.5 * thickness, 0.26 * self._frame.unit)) ** 2)))

    def _press(self) -> ExpressionField:
        lower = -0.24 * self._thickening(self._below, self._frame.lower_lip)
        upper = -0.24 * self._thickening(self._above, self._frame.upper_lip)
        over = _OVERLAP * self._frame.unit * (1.0 - smoothstep((np.abs(self._t) - 0.8) / 0.2))
        lower -= over * self._near_lip(self._below, self._frame.lower_lip)
        upper += over * self._near_lip(-self._above, self._frame.upper_lip)
        return self._vertical(lower, upper)

    def _tuck(self) -> ExpressionField:
        """For F and V: the lower lip rises under the upper teeth and turns in."""
        frame = self._frame
        lower = -_TUCK * frame.unit * self._lens * self._fade_down(0.8)
        lower -= 0.28 * self._thickening(self._below, frame.lower_lip)
        return self._vertical(lower, self._zero()[..., 0])

    def _close(self) -> ExpressionField:
        """Close a mouth that is open in the picture for speech; the lower lip moves farther than the upper one.

        A smile is narrower while it speaks: from its full width, every rounded sound would be a long way. An upper lip that it
        has raised is an arch, whose ends would make a sneer of closed lips: they come up.
        """
        frame = self._frame
        fade_down = 1.0 - 0.75 * smoothstep((self._below - 0.6 * frame.lower_lip) / (0.75 * frame.chin))
        fade_down *= 1.0 - smoothstep((self._y - frame.chin) / frame.unit)
        by_lower = lower_closes(float(self._gap.max()), frame.unit)
        field = self._vertical(-by_lower * self._gap * fade_down, (1 - by_lower) * self._gap)
        raised = self._raised(self._hangs)
        field.lower[..., 1] += raised
        field.upper[..., 1] += raised
        narrower = self._narrowed(self._is_open * unsmiles(frame))
        field.lower[..., 0], field.upper[..., 0] = narrower, narrower
        return field

    def _smile(self) -> ExpressionField:
        unit = self._frame.unit
        shift = self._zero()
        for side, index in ((-1, 78), (1, 308)):
            corner = self._landmarks[index]
            near = np.exp(-(((self._x - corner[0]) ** 2 + (self._y - corner[1]) ** 2) / (0.42 * unit) ** 2))
            shift[..., 0] += side * _SMILE_ACROSS * unit * near
            shift[..., 1] -= _SMILE_UP * unit * near
        return ExpressionField(shift, shift.copy())
