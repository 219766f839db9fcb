"""Draws the gaze: moves the irises between the lids in the portrait, before lids and head move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.figure_planes import enlarge
from stages.face.rig.eyes.eyeball import Eyeball
from stages.face.sampling import sample

Picture = npt.NDArray[np.uint8]

#: A lamp's reflection moves by this fraction of the iris's way, since the cornea is round.
_HIGHLIGHT = 0.35
#: The iris has left the lower lid's edge when it has moved by this fraction of the eye's width.
_LEAVES = 0.04
#: px below which nothing is drawn.
_LEAST_PX = 0.04


class GazeLimit:
    """Limits a gaze, in eye widths, to what all eyes can show, so that they move together."""

    def __init__(self, eyeballs: Sequence[Eyeball]) -> None:
        reach = [ball.reach / ball.eye_width for ball in eyeballs] or [np.zeros(4)]
        self._left, self._right, self._up, self._down = np.min(reach, axis=0).tolist()

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Return the gaze, to the right and down, as far as it can be shown."""
        return min(max(x, -self._left), self._right), min(max(y, -self._up), self._down)


class GazePainter:
    """Draws the gaze of one eye into a BGRA portrait.

    Attributes:
        slices: rows and columns of the eye's opening in the portrait.
    """

    def __init__(self, eyeball: Eyeball) -> None:
        height, width = eyeball.share.shape
        x, y = eyeball.origin
        self.slices = slice(y, y + height), slice(x, x + width)
        self._eye = eyeball
        #: The px that the surface moves, to the right and down, for one eye width of gaze to the eye's right, and down.
        self._axes = (eyeball.axes * eyeball.eye_width).tolist()
        # With a fourth channel, which stays as it is, so that the portrait's box needs no conversion.
        # Enlarged, so that linear interpolation is enough.
        planes = [enlarge(np.ascontiguousarray(plane)) for plane in cv2.split(eyeball.ball)[::-1]]
        self._ball = np.asarray(cv2.merge([*planes, np.zeros_like(planes[0])]), np.uint8)
        self._highlight = _four(eyeball.highlight) if eyeball.highlight.any() else None
        self._opening = cv2.merge([*[eyeball.opening] * 3, np.zeros_like(eyeball.opening)])
        self._shade = _four(eyeball.shade)
        self._margin = _four(eyeball.margin.astype(np.float32)) if eyeball.margin.any() else None
        rows, columns = np.indices((height, width), dtype=np.float32)
        self._points = 2 * np.dstack([columns, rows])
        share = np.ascontiguousarray(2 * eyeball.share, np.float32)
        #: How the eye's surface moves with each px of the gaze, to the right and down, in the enlarged ball.
        self._along = [cv2.merge(parts) for parts in ((share, 0 * share), (0 * share, share))]

    def paint(self, portrait: Picture, x: float, y: float) -> Picture | None:
        """Draw the eye's box, BGRA uint8 [height, width, 4], looking `x` to the right and `y` down, in eye widths.

        Args:
            portrait: the same box; its alpha stays as it is.
            x, y: within `GazeLimit`.

        Returns:
            The box; None if the eye does not visibly move.
        """
        if max(abs(x), abs(y)) * self._eye.eye_width < _LEAST_PX:
            return None
        right, down = (x * across + y * along for across, along in zip(*self._axes, strict=True))
        places = np.asarray(cv2.scaleAdd(self._along[0], -right, self._points), np.float32)
        cv2.scaleAdd(self._along[1], -down, places, places)
        turned = sample(self._ball, places)
        if self._highlight is not None:
            back = np.array([[1, 0, -_HIGHLIGHT * right], [0, 1, -_HIGHLIGHT * down]])
            moved = cv2.warpAffine(
                self._highlight, back, turned.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            turned = np.asarray(cv2.add(turned, moved), np.uint8)
        open_ = portrait
        if self._margin is not None:
            left = min(1.0, math.hypot(right, down) / (_LEAVES * self._eye.eye_width))
            open_ = np.asarray(cv2.addWeighted(portrait, 1, self._margin, left, 0, dtype=cv2.CV_8U), np.uint8)
        mixed = cv2.multiply(turned, self._shade, dtype=cv2.CV_32F)
        cv2.subtract(mixed, open_, mixed, dtype=cv2.CV_32F)
        cv2.multiply(mixed, self._opening, mixed)
        return np.asarray(cv2.add(open_, mixed, dtype=cv2.CV_8U), np.uint8)  # rounded to the nearest


def _four(layer: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A layer, RGB, as BGR and a channel of zeros."""
    return cv2.merge([*cv2.split(layer)[::-1], np.zeros(layer.shape[:2], layer.dtype)])
