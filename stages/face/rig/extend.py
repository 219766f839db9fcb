"""Extends a portrait beyond its borders, for a video of another shape: the background and the person go on there.

Nothing is known of what is there. The background goes on as a mirrored and stretched strip that is the more blurred the farther
out it is, so that there is no seam and no object appears twice. A person who is cut by the border goes on, too: the outline is
closed by an arc that continues its direction at the border, as a shoulder or the crown of the head does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.fill import grain_strength, noise, spread
from stages.face.rig.matte import Matte, background_share
from stages.face.sampling import blur, blur_widely, on_colours

Picture = npt.NDArray[np.uint8]

#: How far inside the border the mirrored strip begins at most, of the shorter side: of the background, and of the person, who has
#: more texture, but only hair above hair.
_DEPTH, _PERSON_DEPTH = 0.05, (0.025, 0.15)
#: Difference from the colours at the border up to which the person is of the same kind, 8-bit levels, and sigma of the blur
#: before they are compared, of the shorter side.
_ALIKE, _COMPARED = 40.0, 0.008
#: Sigma of the blur, as a fraction of the distance from the border: of the background, the person and the outline; and the number
#: of blurred copies, each twice as soft.
_SOFTER, _PERSON_SOFTER, _OUTLINE, _LEVELS = 0.45, 0.12, 0.04, 8
#: Distance inside the border over which the outline's direction is measured, of the shorter side, and the angles between it and
#: the border that are believed, degrees.
_MEASURED, _ANGLES = 0.05, (20.0, 100.0)
#: How far the person goes on at most above, elsewhere, and where the person takes up much of the border; of the shorter side. The
#: part of it up to which that may be a shoulder, and from which it is hair.
_FARTHEST, _FARTHEST_WIDE, _SHOULDER = (0.15, 0.45), 0.12, (0.3, 0.6)
#: Alpha of the person's inner part.
_INSIDE = 250
#: Shorter side of the small strip on which the colours of the person are spread, px.
_SMALL = 32


@dataclass(frozen=True)
class Inner:
    """Where the picture lies in a portrait that was extended, px."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Inner | None:
        """Read it from the content of `face.json`; None if the portrait was not extended."""
        return cls(*record["inner"]) if "inner" in record else None

    def cut(self, portrait: Picture) -> Picture:
        """The picture, without what was added."""
        return np.ascontiguousarray(portrait[self.top : self.bottom, self.left : self.right])

    def margins(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """What was added to a portrait of this width and height at the top, left, bottom and right, px."""
        return self.top, self.left, size[1] - self.bottom, size[0] - self.right


def extend(picture: Picture, matte: Matte, margins: tuple[int, int, int, int]) -> tuple[Picture, Matte]:
    """Extend an RGB picture and its matte; an empty matte stays empty, and the whole picture is then taken as background.

    Args:
        picture: uint8 [height, width, 3].
        matte: of the picture.
        margins: what to add at the top, left, bottom and right, px.

    Returns:
        The larger picture and its matte. Inside, both are as they were.
    """
    none = np.zeros(picture.shape[:2], np.uint8)
    parts = [picture, matte.plate, matte.alpha, matte.cut] if matte else [picture, picture, none, none]
    for turns, margin in enumerate(margins):
        if margin:  # each side in its turn is the upper one
            upright = [np.ascontiguousarray(np.rot90(part, -turns)) for part in parts]
            farthest = _FARTHEST[turns > 0] * min(picture.shape[:2])
            added = _above(upright[0], upright[1], upright[3], margin, farthest)
            parts = [np.rot90(np.concatenate(pair), turns) for pair in zip(added, upright, strict=True)]
    whole, plate, alpha, cut = (np.ascontiguousarray(part) for part in parts)
    return whole, Matte(alpha, cut, plate, matte.repaired) if matte else matte


def _above(
    picture: Picture, plate: Picture, cut: Picture, margin: int, farthest: float
) -> tuple[Picture, Picture, Picture, Picture]:
    """What is above the upper border, `margin` rows: of the picture, of the plate, and of both its mattes."""
    side, width = min(cut.shape), cut.shape[1]
    below = min(cut.shape[0], math.ceil(2 * _PERSON_DEPTH[1] * side))
    away = np.maximum(np.arange(margin, -below, -1), 0).astype(np.float32)
    grainy = noise((margin, width), grain_strength(plate, cut == 0)) * np.minimum(_SOFTER * away[:margin, None], 1)
    strip = _blurred(_mirrored(plate, away, np.full(width, _DEPTH * side, np.float32)), _SOFTER * away)[:margin]
    behind = np.asarray(np.clip(strip + grainy[..., None] + 0.5, 0, 255), np.uint8)
    outline = np.concatenate([np.zeros((margin, width), np.uint8), cut[:below]])
    for arc in _arcs(cut > 127, farthest):
        points = np.round((arc + np.array([0.5, margin + 0.5])) * 16 - 8).astype(np.int32)
        cv2.fillPoly(outline, [points], (255,), cv2.LINE_AA, 4)
    outline[margin:] = cut[:below]
    share = np.asarray(_blurred(outline, _OUTLINE * away)[:margin], np.uint8)
    shown = background_share(behind, share)
    if share.any():
        person = _person(picture[:below], cut[:below])
        person = _mirrored(person, away, _alike(person, side))
        colours = _blurred(person, _PERSON_SOFTER * away)[:margin]
        front = cv2.convertScaleAbs(colours * (on_colours(share) / np.float32(255)))
        shown = np.asarray(cv2.add(shown, front), np.uint8)
    return shown, behind, share, share


def _mirrored(picture: Picture, away: FloatArray, depth: FloatArray) -> Picture:
    """The picture's upper rows, and above them, mirrored and stretched, as many as are `away` from the border.

    Args:
        picture: any.
        away: distance of each row from the border, px; 0 below it.
        depth: of what is mirrored in each column, px.
    """
    margin = int(np.count_nonzero(away))
    y = np.tile(np.arange(len(away), dtype=np.float32)[:, None] - margin, (1, len(depth)))
    y[:margin] = depth * (1 - np.exp(-away[:margin, None] / depth))
    x = np.tile(np.arange(len(depth), dtype=np.float32), (len(away), 1))
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _alike(person: Picture, side: int) -> FloatArray:
    """How far from the border the person's colours are like those at the border, in each column, px."""
    soft = blur(person, _COMPARED * side).astype(np.float32)
    first, most = (max(1, round(depth * side)) for depth in _PERSON_DEPTH)
    apart = ((soft[:most] - soft[:first].mean(axis=0)) ** 2).sum(axis=-1) > _ALIKE**2
    depth = np.where(apart.any(axis=0), apart.argmax(axis=0), most).astype(np.float32)
    window = np.ones((1, 2 * first + 1), np.uint8)
    least = blur_widely(np.asarray(cv2.erode(depth[None], window), np.float32), 1.5 * first)[0]
    return np.asarray(np.maximum(0.7 * least, first), np.float32)


def _blurred(strip: Picture, sigma: FloatArray) -> Picture:
    """Blur each row by its own sigma, px: a mixture of copies, each half as large as the one before, of sigma 1, 2, 4 …"""
    size = strip.shape[1], strip.shape[0]
    level = np.log2(1 + sigma)
    mixed, small = strip.astype(np.float32), strip
    for number in range(1, _LEVELS):
        small = np.asarray(cv2.pyrDown(small, borderType=cv2.BORDER_REFLECT_101), np.uint8)
        rows = np.nonzero(level > number - 1)[0]
        if not len(rows) or min(small.shape[:2]) < 2:
            break
        softer = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)[rows].astype(np.float32)
        weight = np.clip(level[rows] - (number - 1), 0, 1).reshape(-1, *[1] * (strip.ndim - 1))
        mixed[rows] += weight * (softer - mixed[rows])
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _person(own: Picture, cut: Picture) -> Picture:
    """The person's colours, spread over what is not the person."""
    inside = cut >= _INSIDE
    scale = min(1.0, _SMALL / min(inside.shape))
    size = max(2, round(inside.shape[1] * scale)), max(2, round(inside.shape[0] * scale))
    known = np.asarray(cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    sums = cv2.resize(own * inside[..., None].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    filled = spread(np.asarray(sums / np.maximum(known, 1e-3)[..., None], np.float32), known)
    larger = cv2.resize(filled, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(inside[..., None], own, np.clip(larger + 0.5, 0, 255)), np.uint8)


def _arcs(inside: npt.NDArray[np.bool_], farthest: float) -> list[npt.NDArray[np.float64]]:
    """The arcs that close the person above the upper border: points x, y, [n, 2], y up to 0."""
    width = inside.shape[1]
    deep = max(1, round(_MEASURED * min(inside.shape)))
    arcs = []
    for start, end in _runs(inside[0]):
        below = [run for run in _runs(inside[deep]) if run[0] < end and run[1] > start]
        first, last = (min(run[0] for run in below), max(run[1] for run in below)) if below else (start, end)
        # Between the border and the outline, inside the person: 90 degrees where the outline is vertical.
        rising = _angle(deep, start - first), _angle(deep, last - end)
        left, right = float(start), float(end)
        wide = min(_FARTHEST_WIDE * min(inside.shape), farthest)
        most = float(np.interp((right - left) / min(inside.shape), _SHOULDER, (farthest, wide)))
        if start == 0 and end == width:  # as wide as the picture: a wide arc whose ends lie beyond it
            left, right = -0.3 * width, 1.3 * width
        elif start == 0:  # cut by the corner, too: as far again on the other side of it
            left, rising = -right, (rising[1], rising[1])
        elif end == width:
            right, rising = 2 * width - left, (rising[0], rising[0])
        arcs.append(_arc(left, right, rising, most))
    return arcs


def _angle(down: int, inwards: int) -> float:
    return float(np.clip(math.degrees(math.atan2(down, inwards)), *_ANGLES))


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each stretch of pixels that are set."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]


def _arc(left: float, right: float, rising: tuple[float, float], farthest: float) -> npt.NDArray[np.float64]:
    """A curve from (left, 0) to (right, 0), which leaves and reaches the border under these angles, degrees; a cubic Bézier."""
    first, last = (math.radians(angle) for angle in rising)
    handles = [
        (right - left) / (3 * math.cos(angle / 2) ** 2) for angle in (first, last)
    ]  # a circle's, if they are equal
    height = 0.375 * (handles[0] * math.sin(first) + handles[1] * math.sin(last))
    lower = min(1.0, farthest / max(height, 1e-6))
    nodes = np.array(
        [
            [left, 0],
            [left + handles[0] * math.cos(first), -lower * handles[0] * math.sin(first)],
            [right - handles[1] * math.cos(last), -lower * handles[1] * math.sin(last)],
            [right, 0],
        ]
    )
    t = np.linspace(0, 1, 65)[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    return np.asarray(weights @ nodes, np.float64)
