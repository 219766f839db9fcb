"""Bounds the head's fields for a portrait, so that no motion within `REACH` and `MOST` tears or stretches it.

The strain of a field at a place is the norm of the symmetric part S of its gradient there. Strains add up at most, and with their
sum s the singular values of the moved picture's Jacobian are at least 1 - s and at most about 1 + s, and its determinant is at
least (1 - s)^2, whatever it is turned by. Between cells the fields are interpolated bilinearly; strain is convex in the gradient,
so that the corners of every cell bound it inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import smoothstep
from stages.face.rig.grid import CellBlock

FloatArray = npt.NDArray[np.float32]

#: How far each parameter may go at `motion.head: 1` (degrees, fractions of the face's width, or the chest's lift), if the
#: others are 0: a motion is a vector of parameters in parts of these, which is at most 1 long.
REACH = {
    "head_yaw": 16.0, "head_pitch": 18.0, "head_roll": 3.2, "head_x": 0.03, "head_y": 0.08, "lean": 0.03, "breath": 4.0,
}  # fmt: skip
#: How many times as far at the largest `motion.head`.
MOST = 1.4
#: Strain at `REACH` that all but 1 % of the figure stays below, and the strain at `MOST` times `REACH` that is never exceeded:
#: stretch within 0.8 and 1.25 with the zoom on top, and a determinant above 0.3.
_USUAL, _LARGEST, _SHARE = 0.187, 0.43, 0.99
#: Directions in which strain is computed: with so many it is at most 2 % more in others.
_DIRECTIONS = 16
#: Of so many rows and columns one is looked at to know the share of the figure that strains too much.
_EVERY = 2
#: Factor by which the field that strains most is reduced at a time.
_STEP = 0.93
#: So much motion at the border fades out toward it and needs no zoom, in parts of the shorter side: left, right, top, and bottom,
#: where there are clothes. And the way over which it fades, for each px of it.
_FADING, _FADES_OVER = np.array([0.016, 0.016, 0.016, 0.028]), 10.0
#: The part of the farthest motion at the border that the zoom hides: a track seldom goes so far to all sides, and where it does,
#: the head goes less far (`stages.face.rig.room.border_room`). And the largest zoom.
_HIDDEN, _MOST_ZOOM = 0.65, 0.06


@dataclass(frozen=True)
class Zoom:
    """How much larger than the portrait a video shows it, so that no border of the figure comes into view.

    Attributes:
        by: 0 for none, 0.02 for 2 %.
        x, y: the point that stays in place, px.
    """

    by: float = 0.0
    x: float = 0.0
    y: float = 0.0

    def field(self, points: npt.NDArray[np.float64]) -> FloatArray:
        """Displacement of picture points, [..., 2] px."""
        return np.asarray(self.by * (points - np.array([self.x, self.y])), np.float32)


@dataclass(frozen=True)
class Gradient:
    """The symmetric part of fields' gradients: strain in direction a is `mean` + `apart` cos 2a + `shear` sin 2a; [k, n] each."""

    mean: FloatArray
    apart: FloatArray
    shear: FloatArray

    def largest(self) -> FloatArray:
        """Largest strain in any direction, [k, n]."""
        return np.asarray(np.abs(self.mean) + np.hypot(self.apart, self.shear), np.float32)

    def squares(self, where: npt.NDArray[np.bool_]) -> FloatArray:
        """Squares of strain in `_DIRECTIONS` directions at chosen places, [k, directions, places]."""
        turn = 2 * np.pi * np.arange(_DIRECTIONS, dtype=np.float32)[:, None] / _DIRECTIONS
        mean, apart, shear = (part[:, None, where] for part in (self.mean, self.apart, self.shear))
        along = mean + apart * np.cos(turn) + shear * np.sin(turn)
        return np.asarray(along * along, np.float32)


def gradients(fields: FloatArray, step: int) -> list[Gradient]:
    """The gradients of fields, [k, rows, columns, 2] px, at the four corners of every cell, n = (rows - 1) * (columns - 1)."""
    scaled = fields / np.float32(2 * step)  # halves: means of two are sums
    across = np.diff(scaled, axis=2)  # by x, along the upper edges of the cells (and the last lower ones)
    down = np.diff(scaled, axis=1)
    corners = []
    for along_x in (across[:, :-1], across[:, 1:]):
        for along_y in (down[:, :, :-1], down[:, :, 1:]):
            (xx, yx), (xy, yy) = np.moveaxis(along_x, -1, 0), np.moveaxis(along_y, -1, 0)
            corners.append(Gradient(*(part.reshape(len(fields), -1) for part in (xx + yy, xx - yy, yx + xy))))
    return corners


def bound_fields(names: tuple[str, ...], fields: FloatArray, figure: npt.NDArray[np.bool_], step: int) -> FloatArray:
    """Reduce the fields that strain the picture too much, the worst first.

    Args:
        names: the fields' parameters.
        fields: displacement for 1 degree or 1 face width, px, [k, rows, columns, 2].
        figure: where the cells show the person, [rows, columns].
        step: px per cell.

    Returns:
        The fields, each times a factor of at most 1.
    """
    reach = np.array([REACH[name] for name in names], np.float32)
    corners = gradients(fields * reach[:, None, None, None], step)
    largest = np.maximum.reduce([corner.largest() for corner in corners])
    # Motion within the reach is a vector of length 1 at most, so that its strain in a direction is at most the root of the
    # squares' sum; and no more than that of the largest strains, which tells most cells that need no closer look.
    whole = (largest * largest).sum(axis=0)
    inside = figure[:-1, :-1].ravel() if figure.any() else np.ones(len(whole), bool)
    looked_at = np.zeros(figure[:-1, :-1].shape, bool)
    looked_at[::_EVERY, ::_EVERY] = True  # enough to know a share
    inside = inside & looked_at.ravel()
    allowed = int(inside.sum() * (1 - _SHARE))
    usual, worst = (
        _Strained(np.concatenate([corner.squares(where) for corner in corners], axis=1), limit)
        for where, limit in (
            (inside & (whole > _USUAL**2), _USUAL),
            (whole > (_LARGEST / MOST) ** 2, _LARGEST / MOST),
        )
    )
    factors = np.ones(len(fields), np.float32)
    while True:
        # Places that may tear come first: they are few, and all others are looked at only when none is left.
        if worst.count(factors) > 0:
            concerned = worst
        elif usual.count(factors) > allowed:
            concerned = usual
        else:
            return np.asarray(fields * factors[:, None, None, None], np.float32)
        factors[(factors**2 * concerned.weights).argmax()] *= _STEP


class _Strained:
    """Places where fields that are reduced further and further may strain more than a limit.

    Attributes:
        weights: squares of each field's largest strain, summed over the places that were last found to strain too much, [k].
    """

    def __init__(self, squares: FloatArray, limit: float) -> None:
        """Take squares of strain, [k, directions, places], and the limit of strain."""
        self._squares, self._most, self._limit = squares, squares.max(axis=1), limit
        self.weights = self._most.sum(axis=1)

    def count(self, factors: FloatArray) -> int:
        """Count the places where fields times `factors`, [k], strain too much. Factors never grow from call to call."""
        total = factors**2 @ self._squares.reshape(len(factors), -1)
        beyond = total.reshape(self._squares.shape[1:]).max(axis=0, initial=0.0) > self._limit**2
        most, found = self._most.compress(beyond, axis=1), int(beyond.sum())
        # The others never strain too much again. To copy more than half takes longer than to look at them again.
        if 2 * found < len(beyond):
            self._squares, self._most = self._squares.compress(beyond, axis=2), most
        self.weights = most.sum(axis=1)
        return found


def hide_border(
    names: tuple[str, ...],
    fields: FloatArray,
    figure: npt.NDArray[np.bool_],
    cells: CellBlock,
    step: int,
    size: tuple[int, int],
    middle: tuple[float, float],
) -> tuple[FloatArray, Zoom]:
    """Choose the zoom that hides the border of a figure that touches the picture's; reduces motion that would need too much.

    Where the figure moves little at every border, its motion fades out there, and no zoom is needed.

    Args:
        names, fields, figure, step: as in `bound_fields`.
        cells: the block that they cover.
        size: the picture's width and height, px.
        middle: a point that should stay in place if possible, px.
    """
    reach = np.array([1.0 if name == "breath" else REACH[name] for name in names], np.float32)
    # Inward movement at REACH along each border that the figure touches, [k] each.
    sides = (
        (cells.left == 0, figure[:, 0], fields[:, :, 0, 0]),
        (cells.right * step >= size[0], figure[:, -1], fields[:, :, -1, 0]),
        (cells.top == 0, figure[0], fields[:, 0, :, 1]),
        (cells.bottom * step >= size[1], figure[-1], fields[:, -1, :, 1]),
    )
    inward = np.zeros((4, len(fields)), np.float32)
    for number, (at_border, line, moves) in enumerate(sides):
        if at_border and line.any():
            along = np.abs(moves[:, line]) * reach[:, None]
            inward[number] = along[:, np.linalg.norm(along, axis=0).argmax()]
    most = np.linalg.norm(inward, axis=1)
    if (most <= _FADING * min(size)).all():
        return bound_fields(names, _faded(fields, _FADES_OVER * most, cells.points(step), size), figure, step), Zoom()
    factors = np.ones(len(fields), np.float32)
    while True:
        most = np.linalg.norm(inward * factors, axis=1)
        left, right, top, bottom = (_HIDDEN * most).tolist()
        by = max((left + right) / size[0], (top + bottom) / size[1])
        if by <= _MOST_ZOOM:
            break
        factors[(factors * inward.sum(axis=0)).argmax()] *= _STEP
    x = min(max(middle[0], left / by), size[0] - right / by)
    y = min(max(middle[1], top / by), size[1] - bottom / by)
    return np.asarray(fields * factors[:, None, None, None], np.float32), Zoom(float(by), float(x), float(y))


def _faded(
    fields: FloatArray, over: npt.NDArray[Any], points: npt.NDArray[np.float64], size: tuple[int, int]
) -> FloatArray:
    """Let fields fade to 0 toward the picture's borders, over so many px from the left, right, upper and lower one, [4]."""
    x, y = points[..., 0], points[..., 1]
    kept = np.ones(x.shape)
    for way, inside in zip(over.tolist(), (x, size[0] - 1 - x, y, size[1] - 1 - y), strict=True):
        if way > 0:
            kept *= smoothstep(inside / way)
    return np.asarray(fields * kept[..., None], np.float32)


def within_reach(values: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Shorten motion that is longer than `MOST`, [frames, k], for which the fields are not bounded."""
    length = np.linalg.norm(values / np.array([REACH[name] for name in names], np.float32), axis=1, keepdims=True)
    return np.asarray(values * np.minimum(1.0, MOST / np.maximum(length, 1e-6)), np.float32)
