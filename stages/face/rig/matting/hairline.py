"""Continues hair over a forehead that the picture's upper border cuts: else the crown would be bald between two strips of hair.

The forehead is closed by an arc of its own, the hairline. Between it and the outline, the hair beside the forehead goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.rig.matting.closing_arcs import Arc, inner_arc
from stages.face.sampling import blur

Picture = npt.NDArray[np.uint8]

#: How far above the eyes the hair of a head ends, in parts of the way from the eyes to the chin: the skull does at about 1.
_CROWN = 1.3
#: Half the side of the squares on the forehead and the cheeks that tell their colours, of the face's width; the mesh's
#: points there.
_FOREHEAD, _CHEEKS = 0.06, (50, 280)
#: Distance of the hair's colour from the forehead's at least, 8-bit levels; the part of it up to which a tone is the forehead's.
_APART, _ALIKE = 45.0, 0.5
#: Distance up to which light and shade on the forehead are one colour, 8-bit levels.
_SHADED = 80.0
#: Width of the forehead at the border at least, and of the hair on each side, of which this part, at the arc's end, tells its
#: colour; of the shorter side.
_LEAST_FOREHEAD, _LEAST_HAIR, _END = 0.12, 0.03, (0.01, 0.04)
#: Height of the hairline in that of the outline; how far the forehead and the hair go over into each other, and how far in from
#: the edge of the hair it is hair alone, of the shorter side.
_HEIGHT, _SOFT, _MIXED = 0.5, 0.012, 0.03
#: Degrees over which the hair of one side turns into that of the other, at the top.
_PARTING = 40.0


@dataclass(frozen=True)
class Hairline:
    """The forehead between hair at the upper border: ends of the outline's arc and of the forehead, and the arc over it, px."""

    outline: tuple[float, float]
    forehead: tuple[float, float]
    arc: Arc
    side: int

    def forehead_share(self, height: FloatArray, width: int) -> FloatArray:
        """The share of the forehead at these heights above the border, px, [rows, 1]: 0 to 1, [rows, width]."""
        over, _, _ = self._from_line(height, width)
        return smoothstep(0.5 - over / (2 * _SOFT * self.side)).astype(np.float32)

    def strands(self, height: FloatArray, width: int) -> tuple[tuple[FloatArray, FloatArray, FloatArray], ...]:
        """For either side, where its hair crosses the border, how far along it each place is, px, and its share of the hair."""
        over, angle, radius = self._from_line(height, width)
        right_share = smoothstep(0.5 + (90.0 - angle) / _PARTING).astype(np.float32)
        found = []
        for end, edge, from_side, share in (
            (self.outline[0], self.forehead[0], 180.0 - angle, 1 - right_share),
            (self.outline[1], self.forehead[1], angle, right_share),
        ):
            along = radius * np.radians(np.maximum(from_side, 0.0))
            mixed = min(_MIXED * self.side, 0.35 * abs(edge - end)) * (1 - np.exp(-along / (2 * _MIXED * self.side)))
            room = max(0.9 * abs(edge - end) - float(mixed.max()), 2.0)
            at = np.mod(np.maximum(over, 0.0), 2 * room)
            aside = mixed + np.minimum(at, 2 * room - at)
            found.append(((edge + np.sign(end - edge) * aside).astype(np.float32), along.astype(np.float32), share))
        return tuple(found)

    def _from_line(self, height: FloatArray, width: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """How far each place is outside the hairline, px; its angle seen from the middle of its base, degrees; its distance."""
        middle = sum(self.forehead) / 2
        across = np.arange(width, dtype=np.float32)[None] - np.float32(middle)
        angle = np.degrees(np.arctan2(height, across)).astype(np.float32)
        radius = np.hypot(across, height).astype(np.float32)
        seen = np.degrees(np.arctan2(self.arc.height, self.arc.x - middle))[::-1]
        line = np.interp(angle, seen, np.hypot(self.arc.x - middle, self.arc.height)[::-1])
        return (radius - line).astype(np.float32), angle, radius


def crown_above(landmarks: FloatArray) -> float:
    """How far above the picture's upper border the hair of a head ends, px, by its landmarks, [478, 3] px; negative inside it."""
    eyes = float(np.mean([landmarks[list(lid), 1].mean() for lid, _, _ in mesh.EYES]))
    return float(np.round(_CROWN * (float(landmarks[mesh.CHIN, 1]) - eyes) - eyes))


def forehead_colour(picture: Picture, landmarks: FloatArray) -> FloatArray:
    """The forehead's colour in an RGB picture, [3]; that of the cheeks, where hair covers the forehead."""
    middle = (landmarks[mesh.FOREHEAD, :2] + 2 * landmarks[list(mesh.OVAL), :2].mean(axis=0)) / 3
    top = landmarks[mesh.FOREHEAD, :2]
    reach = max(2.0, _FOREHEAD * float(np.ptp(landmarks[list(mesh.OVAL), 0])))
    forehead = _around(picture, top + 0.3 * (middle - top), reach)
    cheeks = np.mean([_around(picture, landmarks[cheek, :2], reach) for cheek in _CHEEKS], axis=0)
    return np.asarray(forehead if np.linalg.norm(forehead - cheeks) < _SHADED else cheeks, np.float32)


def _around(picture: Picture, place: FloatArray, reach: float) -> FloatArray:
    """The median colour in a square around a place, [3]; the whole picture's mean if it lies outside."""
    x, y = place
    rows = slice(max(0, round(y - reach)), max(1, round(y + reach)))
    columns = slice(max(0, round(x - reach)), max(1, round(x + reach)))
    part = picture[rows, columns].reshape(-1, 3)
    return np.asarray(np.median(part, axis=0) if len(part) else picture.reshape(-1, 3).mean(axis=0), np.float32)


def find_hairline(tone: FloatArray, arc: Arc, skin: FloatArray, side: int) -> Hairline | None:
    """The hairline over a forehead of this colour, [3]; None where the border shows no forehead between hair.

    Args:
        tone: of the person along the border, RGB [width, 3].
        arc: that closes the person.
        skin: RGB.
        side: shorter side of the picture, px.
    """
    start, end = float(arc.x[0]), float(arc.x[-1])
    if start < 0 or end > len(tone):
        return None
    third = (end - start) / 3
    middle = np.median(tone[round(start + third) : max(round(end - third), round(start + third) + 1)], axis=0)
    if np.linalg.norm(middle - skin) > _SHADED:
        return None
    apart = blur(np.linalg.norm(tone - middle, axis=1)[None].astype(np.float32), 0.01 * side)[0]
    ends = [
        apart[round(near) : max(round(far), round(near) + 1)]
        for near, far in (
            (start + _END[0] * side, start + _END[1] * side),
            (end - _END[1] * side, end - _END[0] * side),
        )
    ]
    hair = min(float(np.median(one)) if len(one) else 0.0 for one in ends)
    if hair < _APART:
        return None
    bare = np.flatnonzero(apart[round(start) : round(end)] < _ALIKE * hair) + round(start)
    if len(bare) < _LEAST_FOREHEAD * side or len(bare) < 0.9 * (bare[-1] - bare[0]):
        return None
    first, last = float(bare[0]), float(bare[-1])
    if min(first - start, end - last) < _LEAST_HAIR * side:
        return None
    return Hairline((start, end), (first, last), inner_arc(first, last, _HEIGHT * float(arc.height.max())), side)
