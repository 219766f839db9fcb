"""Paints the skin beside the mouth without the old corners: their shade, and the folds of a smile.

The corners of rounded lips come in. What a mouth at rest shows beside them would stay behind as a line, or as whiskers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.face.rig.colours import LUMA
from stages.face.rig.expressions.ring import before_end, from_middle, ring_end
from stages.face.rig.face_frame import FaceBox, FaceFrame, smoothstep
from stages.face.rig.lip_outline import LipOutline
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]
Colours = npt.NDArray[np.float32]
Rgba = npt.NDArray[np.uint8]

#: The painted ellipse: its middle beyond the corner, its half width outward and toward the mouth's middle, and its half height,
#: units; part of it over which it fades.
_OUTWARD, _ACROSS, _INWARD, _DOWN, _FADES = 0.09, 0.36, 0.46, 0.30, 0.60
#: Blur that tells the skin around the ellipse, units. The skin's own grain stays: what differs by more than so many levels and so
#: many times as much as is usual there is a line.
_AROUND, _GRAIN, _GRAINY = 0.08, 1.5, 1.8
#: Skin that differs on both sides of the line at which the lips meet goes over into its mean within so many units; up to so many
#: from the lips' edges it has this mean.
_MEETS, _MEETS_EVENLY = 0.16, 0.04
#: What is finer than so many units is grain. A pixel is rough if it differs from the picture without grain by parts of its
#: brightness between these. Hair is left as it is: where the first part of the skin within so many units is rough, less of it is
#: painted, and none from the second on.
_FINE, _EVEN, _ROUGH = 0.03, 0.03, 0.06
_HAIR_AROUND, _HAIRY, _HAIR = 0.12, 0.44, 0.58
#: Units over which the edge of what is painted is softened, and from the lips on up to which the skin has their colour.
_BESIDE, _REDDENS = 0.01, 0.02
#: The lips' ends when the skin begins to be painted, half mouths from the middle. Units over which the skin that covers lips
#: fades beside them: in hair, and twice as many on bare skin.
_FIRST, _LIPS_FADE = 1.0, 0.03
#: The cheek goes over into its contour from this part of the way between the mouth's middle and the jaw's contour on.
_CHEEK_FROM = 0.75
#: What is brighter than the skin around is changed by this part only.
_BRIGHTER = 0.6


@dataclass(frozen=True)
class SkinBeside:
    """The skin beside both corners of a mouth.

    Attributes:
        painted: its colours, RGBA uint8 [height, width, 4]; the alpha tells what is replaced.
        turns: when each pixel is painted as the lips are drawn in: 0 is first, 255 last; uint8 [height, width]. The ends of the
            lips keep their form meanwhile.
        hair: the part of the skin that hair covers, which stays as it is, 0 to 1.
    """

    painted: Rgba
    turns: npt.NDArray[np.uint8]
    hair: float


def paint_mouth_corners(box: FaceBox, curves: tuple[Grid, Grid], outline: LipOutline) -> SkinBeside:
    """Paint the skin beside both corners of a mouth, around its lips.

    `curves` are the edges of the upper and the lower lip in the face's coordinates, [n, 2] px.
    """
    frame, unit = box.frame, box.frame.unit
    x, y = box.local[..., 0], box.local[..., 1]
    seen = box.at().astype(np.float32)
    soft = blur(seen, _FINE * unit)
    on_cheek = 1.0 - smoothstep((np.abs(x) / np.where(x < 0, *frame.half_face) - _CHEEK_FROM) / (1 - _CHEEK_FROM))
    top, bottom = (np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves)
    from_edges = np.maximum(np.maximum(top - y, y - bottom), 0.0)  # of lips as if they met
    away = np.full(x.shape, np.inf)
    for end, outward in ((0, -1.0), (-1, 1.0)):
        corner = (outline.upper[end] + outline.lower[end]) / 2
        beyond = outward * (x - corner[0]) / unit
        across = (beyond - _OUTWARD) / np.where(beyond > _OUTWARD, _ACROSS, _INWARD)
        away = np.minimum(away, np.hypot(across, from_edges / (_DOWN * unit)))
    from_lips = outline.outside(x, y) / unit
    skin = smoothstep((from_lips - _REDDENS) / _REDDENS) * on_cheek
    beside = on_cheek * (1.0 - smoothstep((away - (1 - _FADES)) / _FADES))
    ends, last = _ends_through(x, y, outline, curves, frame), ring_end(outline, curves, frame)
    from_end = (ends - last) * sum(frame.half_mouth) / 2  # px
    outside = blur(np.clip(from_end + 0.5, 0.0, 1.0).astype(np.float32), _BESIDE * unit)
    beside *= outside
    bare = _without_hair(seen, skin, unit)
    over_lips = on_cheek * (1.0 - smoothstep(from_lips / (_LIPS_FADE * (1.0 + bare))))
    cover = np.maximum(bare * beside, outside * over_lips)
    hair = 1.0 - float((bare * beside).sum() / max(float(beside.sum()), 1e-9))
    known = np.asarray((smoothstep((away - 0.5) / 0.5) + 1e-3) * skin + 1e-9, np.float32)
    weighed = blur(np.asarray(seen * known[..., None], np.float32), _AROUND * unit)
    around = weighed / np.maximum(blur(known, _AROUND * unit), 1e-9)[..., None]
    grain = (seen - soft) @ LUMA  # that of skin is of its light: what is of its colour is a lip's edge
    differs, weight = np.abs(grain).astype(np.float32), np.asarray(skin + 1e-6, np.float32)
    usual = (
        blur(np.sqrt(differs) * weight, _HAIR_AROUND * unit) / blur(weight, _HAIR_AROUND * unit)
    ) ** 2  # of few lines
    grain *= np.exp(-((differs / (_GRAIN + _GRAINY * usual)) ** 2))
    change = around - soft
    change *= np.where(change @ LUMA < 0, _BRIGHTER, 1.0)[..., None]
    even = _meeting(box, soft + change, (top, bottom))
    painted, turns = np.dstack([even + grain[..., None], 255 * cover]), 255 * (_FIRST - ends) / (_FIRST - last)
    return SkinBeside(_as_uint8(painted), _as_uint8(turns), hair)


def _as_uint8(values: Grid) -> npt.NDArray[np.uint8]:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _meeting(box: FaceBox, skin: Colours, edges: tuple[Grid, Grid]) -> Colours:
    """Give the skin the same colours at both lips' edges, which meet in speech: no line goes on from the corners.

    Close to the edges it is as even as between them, because the shade of a corner ends there as suddenly as a line.
    """
    x, y = box.local[..., 0], box.local[..., 1]
    hem = _MEETS_EVENLY * box.frame.unit
    top, bottom = edges[0] - hem, edges[1] + hem
    places = (box.frame.picture(np.stack([x, edge], axis=-1)) - box.origin for edge in (top, bottom))
    above, below = (sample(skin, place.astype(np.float32)) for place in places)
    from_edge = np.maximum(np.maximum(top - y, y - bottom), 0.0)
    near = np.exp(-((from_edge / (_MEETS * box.frame.unit)) ** 2))[..., None]
    half = (below - above) / 2
    moved = np.where((y < (top + bottom) / 2)[..., None], skin + near * half, skin - near * half)
    return np.asarray(np.where((from_edge > 0)[..., None], moved, above + half), np.float32)


def _ends_through(x: Grid, y: Grid, outline: LipOutline, curves: tuple[Grid, Grid], frame: FaceFrame) -> Grid:
    """Where lips would have to end for their outline to pass through each point, in half mouths from the mouth's middle.

    Points that rounded lips leave free have more than `ring_end`: the lips' point is dark, and too long for a round mouth. The
    ends are those of lips that meet, so that what lies between lips that are apart in the picture counts for nothing.
    """
    top, bottom = (np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves)
    above, below = outline.thickness(x, curves)
    from_line = np.maximum((top - y) / np.maximum(above, 1e-3), (y - bottom) / np.maximum(below, 1e-3))
    beyond = np.maximum(np.maximum(top - above - y, y - bottom - below), 0.0)
    return np.asarray(from_middle(x, frame) + before_end(from_line) + 2 * beyond / sum(frame.half_mouth))


def _without_hair(seen: Colours, skin: Grid, unit: float) -> Grid:
    """1 where the skin is bare, 0 where it is covered by hair: around each place, much of the `skin` is rough."""
    level, weight = np.asarray(seen @ LUMA, np.float32), np.asarray(skin + 1e-6, np.float32)
    even = blur(level * weight, _FINE * unit) / blur(weight, _FINE * unit)
    rough = smoothstep((np.abs(level - even) / np.maximum(even, 1.0) - _EVEN) / (_ROUGH - _EVEN))
    share = blur(rough.astype(np.float32) * weight, _HAIR_AROUND * unit) / blur(weight, _HAIR_AROUND * unit)
    return np.asarray(1.0 - smoothstep((share - _HAIRY) / (_HAIR - _HAIRY)))
