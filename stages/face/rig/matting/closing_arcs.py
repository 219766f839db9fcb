"""Closes the outline of a person whom the picture's upper border cuts: an arc goes on from the outline's direction at both ends.

The arc gets the edge that the outline has below the border: hair stays as rough as it is there, and a hat as smooth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float64]

#: Distance inside the border over which the outline's direction is measured, of the shorter side, and the angles between it and
#: the border that are believed, degrees.
_MEASURED, _ANGLES = 0.05, (20.0, 88.0)
#: The angle of an inner arc, degrees.
_INNER = 75.0
#: Widths up to which an arc is narrow, and from which it takes up much of the border; of the shorter side.
_SHOULDER = (0.3, 0.6)
#: How far an arc as wide as the border goes on at most, of the shorter side.
_FARTHEST_WIDE = 0.12
#: Width at a corner from which less than as much again is beyond the corner, and what is beyond it at least.
_CORNER, _LEAST_BEYOND = 0.5, 0.1
#: Length of the outline below the border whose edge is taken, sigma of its smoothing, half the width of the edge, and the length
#: over which one piece of edge turns into the next; of the shorter side.
_TAKEN, _SMOOTH, EDGE, _JOINED = 0.3, 0.02, 0.035, 0.02
#: Parts of half the edge's width, inside the outline, between which gaps end to be taken.
_GAPS = 0.25, 0.6
#: The outer part of half the edge's width in which locks fade.
_LOCKS = 0.7
#: Half the width of the edge at most, in the arc's height.
_EDGE_PART = 0.5
#: Half the width of a strand or of a gap between strands at most, which no outline follows; of the shorter side.
_STRAND = 0.012
#: Mean alpha along the border from which the person is cut by it, if the background is seen on no more than this part of it.
_CUT, _WALL = 170, 0.5
#: Alpha along the border above which something of the person is there, and how near what touches it is judged together; of the
#: shorter side.
_TOUCHES, _TOGETHER = 24, 0.02
#: Points of an arc.
_POINTS = 193


@dataclass(frozen=True)
class _End:
    """Where an outline meets the border: x there (smoothed), the angle between both, degrees, and the outline's edge.

    `edge` is the matte along the outline: rows from the border down, columns from outside to inside; None where the picture's
    corner cuts the outline off.
    """

    x: float
    angle: float
    edge: FloatArray | None


@dataclass(frozen=True)
class Arc:
    """A closing arc: points of its line from the left to the right end, [n] each; `height` above the border, px."""

    x: Grid
    height: Grid
    ends: tuple[_End, _End]

    def cover(self, margin: int, width: int, side: int) -> Picture:
        """The arc's matte in the `margin` rows above the border, uint8 [margin, width]; `side` is the picture's shorter one."""
        line = np.stack([self.x, margin - self.height], axis=1)
        base = np.array([[self.x[-1], margin + side], [self.x[0], margin + side]])
        points = np.round((np.concatenate([line, base]) + 0.5) * 16 - 8).astype(np.int32)
        solid = np.zeros((margin + side // 8, width), np.uint8)
        cv2.fillPoly(solid, [points], (255,), cv2.LINE_AA, 4)
        reach = min(EDGE * side, _EDGE_PART * float(self.height.max()))  # a low arc has no room for a rough edge
        if all(end.edge is None for end in self.ends):
            return solid[:margin]
        inside = cv2.distanceTransform((solid > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        outside = cv2.distanceTransform((solid <= 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        within = blur(inside - outside - np.float32(0.5) * np.sign(inside - 0.5), 0.7)[:margin]
        rows, columns = np.nonzero(np.abs(within) < reach)
        along = self._along(columns, margin - rows)
        across = (within[rows, columns] + reach) / (2 * reach)
        cover = solid[:margin].copy()
        cover[rows, columns] = np.clip(255 * self._edge(along, across, side) + 0.5, 0, 255)
        return cover

    def _along(self, columns: npt.NDArray[np.intp], above: npt.NDArray[np.intp]) -> tuple[Grid, Grid]:
        """Distance along the line from its left and from its right end, px, by the direction seen from the middle of its base."""
        middle = (self.x[0] + self.x[-1]) / 2
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(self.x), np.diff(self.height)))])
        seen = np.arctan2(self.height, middle - self.x)
        left = np.interp(np.arctan2(above, middle - columns), seen, length)
        return left, length[-1] - left

    def _edge(self, along: tuple[Grid, Grid], across: Grid, side: int) -> Grid:
        """The matte at these distances along the line, and this part of the edge's width across it; 0 to 1."""
        found = [
            _laid(end.edge, distance, across, side) if end.edge is not None else None
            for end, distance in zip(self.ends, along, strict=True)
        ]
        left, right = found[0], found[1]
        if left is None or right is None:
            only = left if right is None else right
            assert only is not None
            return only
        share = np.clip(0.5 + (along[0] - along[1]) / (2 * _JOINED * side), 0, 1)
        return np.asarray(left + share * (right - left))


def closing_arcs(cut: Picture, farthest: tuple[float, float], wall: npt.NDArray[np.bool_]) -> list[Arc]:
    """The arcs that close the person above the upper border, each within its limit.

    Args:
        cut: matte of the picture, uint8 [height, width].
        farthest: how far a narrow arc and one that takes up much of the border go on at most, px.
        wall: where the border clearly shows the background, [width]: there, the segmentation often takes it as hair.
    """
    side, width = min(cut.shape), cut.shape[1]
    inside = _whole(cut, max(1, round(_STRAND * side)))
    contours = [
        one[:, 0].astype(np.float64)
        for one in cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    ]
    arcs = []
    corner = _STRAND * side
    for start, end in _runs(inside[0]):
        if cut[0, start:end].mean() < _CUT or wall[start:end].mean() > _WALL:  # it only touches the border
            continue
        ends = [
            _followed(cut, contours, start, -1) if start > corner else None,
            _followed(cut, contours, end, 1) if end < width - corner else None,
        ]
        left, right = ends
        most = float(np.interp((end - start) / side, _SHOULDER, farthest))
        if left is None and right is None:  # as wide as the picture: a wide arc whose ends lie beyond it
            most = min(most, _FARTHEST_WIDE * side)
            left, right = _End(-0.3 * width, _ANGLES[1], None), _End(1.3 * width, _ANGLES[1], None)
        elif left is None and right is not None:  # cut by the corner, too
            left = _End(-_beyond_corner(right.x, side), right.angle, None)
        elif right is None and left is not None:
            right = _End(width + _beyond_corner(width - left.x, side), left.angle, None)
        assert left is not None
        assert right is not None
        if right.x - left.x >= 1:
            arcs.append(_arc(left, right, most))
    return arcs


def touching(border: Picture, wall: npt.NDArray[np.bool_], closed: Sequence[slice], side: int) -> Picture:
    """The matte along the border, uint8 [width], of what only touches it: not of what is `closed` by arcs, nor where the border
    shows the background.
    """
    found = border.copy()
    for part in closed:
        found[part] = 0
    kernel = np.ones((1, 2 * round(_TOGETHER * side) + 1), np.uint8)
    found[found <= _TOUCHES] = 0
    for start, end in _runs(cv2.dilate((found > 0).astype(np.uint8)[None], kernel)[0] > 0):
        here = slice(start, end)
        if found[here][wall[here]].sum() > _WALL * found[here].sum():
            found[here] = 0
    return found


def inner_arc(left: float, right: float, height: float) -> Arc:
    """An arc between two places on the border, at most so high, without a rough edge."""
    return _arc(_End(left, _INNER, None), _End(right, _INNER, None), height)


def _beyond_corner(shown: float, side: int) -> float:
    """How far what shows so much of itself beside a corner goes on behind it: as far again, if no larger than a shoulder."""
    return min(shown, max(_LEAST_BEYOND * side, _CORNER * side - shown))


def _whole(cut: Picture, strand: int) -> npt.NDArray[np.bool_]:
    """Where the person is, without strands and gaps that are no wider than `strand`, px."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * strand + 1,) * 2)
    above = np.pad((cut > 127).astype(np.uint8), 2 * strand, mode="edge")
    opened = cv2.morphologyEx(cv2.morphologyEx(above, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    return np.asarray(opened[2 * strand : -2 * strand, 2 * strand : -2 * strand] > 0)


def _arc(left: _End, right: _End, farthest: float) -> Arc:
    """Part of an ellipse for each end, as high as a circle's arc of that angle and at most `farthest`, blended between them."""
    wide = right.x - left.x
    place = (1 - np.cos(np.linspace(0, math.pi, _POINTS))) / 2
    circles = [wide / 2 * math.tan(math.radians(end.angle) / 2) for end in (left, right)]
    height = min(sum(circles) / 2, farthest)
    shapes = [_ellipse(place, wide, math.radians(end.angle), height) for end in (left, right)]
    share = place * place * (3 - 2 * place)
    return Arc(left.x + wide * place, shapes[0] + share * (shapes[1] - shapes[0]), (left, right))


def _ellipse(place: Grid, wide: float, angle: float, height: float) -> Grid:
    """Heights at `place` (0 to 1) of an arc over a base of this width, which leaves it under this angle, radians."""
    # A circle's arc of a smaller or larger angle, stretched upwards; its half angle has this tangent.
    half = math.sqrt(max(1 - 4 * height / (wide * math.tan(angle)), 1e-3))
    radius = (1 + half**2) / (4 * half) * wide
    middle = radius - wide / 2 * half
    circle = np.sqrt(np.maximum(radius**2 - ((place - 0.5) * wide) ** 2, 0)) - middle
    return np.asarray(np.maximum(circle, 0) * (height / max(radius - middle, 1e-6)))


def _followed(cut: Picture, contours: Sequence[Grid], x: int, outwards: int) -> _End:
    """Follow the outline from the border down, where it meets the border at `x`, with the outside there (-1: left, 1: right)."""
    side = min(cut.shape)
    start, last = np.array([x - 0.5, 0.0]), np.array([cut.shape[1] - 1.0, cut.shape[0] - 1.0])
    line = min(
        (_from(contour, start, last) for contour in contours), key=lambda one: float(np.abs(one[0] - start).sum())
    )
    line = line[: math.ceil(_TAKEN * side)]
    smooth = np.stack([_smoothed(one, _SMOOTH * side) for one in line.T], axis=1) - [line[0, 0] - start[0], 0]
    deep = min(len(smooth) - 1, max(1, round(_MEASURED * side)))
    leaving = smooth[deep] - smooth[0]
    measured = math.degrees(math.atan2(leaving[1], leaving[0] * outwards))
    angle = float(np.clip(measured, *_ANGLES))
    if len(smooth) < 3 * _JOINED * side:
        return _End(float(x), angle, None)
    along = np.gradient(smooth, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    inwards = np.stack([along[:, 1], -along[:, 0]], axis=1) * -outwards
    across = np.linspace(-1, 1, 2 * math.ceil(EDGE * side) + 1)  # from outside to inside
    places = smooth[:, None] + (EDGE * side) * across[:, None] * inwards[:, None]
    edge = sample(cut, places.astype(np.float32)).astype(np.float32) / 255
    # Gaps inside would be seen again and again.
    _, labels = cv2.connectedComponents((edge < 0.5).astype(np.uint8))
    edge[(labels > 0) & ~np.isin(labels, labels[:, 0])] = 1.0
    solid = smoothstep((across - _GAPS[0]) / (_GAPS[1] - _GAPS[0]))
    # A whole lock outside would be seen as an object.
    near = smoothstep((across + 1) / _LOCKS)
    return _End(float(x), angle, np.asarray(np.maximum(edge * near, solid), np.float32))


def _from(contour: Grid, start: Grid, last: Grid) -> Grid:
    """The part of a closed contour, [n, 2] px, that leaves the upper border at `start`, until it meets a border again.

    `last` are x and y of the picture's last pixel.
    """
    first = int(np.abs(contour - start).sum(axis=1).argmin())
    turned = np.roll(contour, -first, axis=0)
    if len(turned) > 1 and turned[1, 1] < turned[-1, 1]:
        turned = np.roll(turned[::-1], 1, axis=0)
    at_border = np.flatnonzero((turned[1:] <= 0).any(axis=1) | (turned[1:] >= last).any(axis=1))
    return turned[: max(at_border[0], 1) + 1] if len(at_border) else turned


def _smoothed(line: Grid, sigma: float) -> Grid:
    """Smooth a line, [n]; its ends stay."""
    reach = min(len(line) - 1, math.ceil(3 * sigma))
    if reach < 1:
        return line
    longer = np.concatenate(
        [2 * line[0] - line[reach:0:-1], line, 2 * line[-1] - line[-2 : -reach - 2 : -1]]
    )  # fmt: skip
    return np.asarray(blur(longer[:, None], max(sigma, 0.5))[reach : reach + len(line), 0])


def _laid(edge: FloatArray, along: Grid, across: Grid, side: int) -> Grid:
    """The edge at these distances from the border, laid end to end: each piece goes upwards, as the outline below does."""
    rows, columns = edge.shape
    joint = _JOINED * side
    period = rows - 1 - joint
    # Downwards in the edge is upwards along the arc, so that strands still point upwards; each piece begins with a joint.
    at, x = np.mod(along, period), across * (columns - 1)
    below = np.where(along < period, 0.0, joint - at)
    found, before = (_interpolated(edge, np.asarray(y), x) for y in (rows - 1 - at, below))
    return np.asarray(before + np.clip(at / joint, 0, 1) * (found - before))


def _interpolated(edge: FloatArray, y: Grid, x: Grid) -> Grid:
    count = len(x)
    rows = -(-count // 256)
    places = np.resize(np.stack([x, np.maximum(y, 0)], axis=-1).astype(np.float32), (rows * 256, 2))
    return np.asarray(sample(edge, places.reshape(rows, 256, 2)).reshape(-1)[:count], np.float64)


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each stretch of pixels that are set."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]
