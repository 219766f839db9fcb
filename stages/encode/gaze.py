"""Draws the gaze: moves the irises between the lids in the portrait, before lids and head move."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.eyeball import Eyeball
from stages.face.sampling import on_colours, sample

Picture = npt.NDArray[np.uint8]

#: A lamp's reflection moves by this fraction of the iris's way, since the cornea is round.
_HIGHLIGHT = 0.35
#: The iris has left the lower lid's edge when it has moved by this fraction of the eye's width.
_LEAVES = 0.04
#: px below which nothing is drawn.
_LEAST_PX = 0.04


def limit_gaze(eyeballs: Sequence[Eyeball], x: float, y: float) -> tuple[float, float]:
    """Limit a gaze, in eye widths, to what all eyes can show, so that they move together."""
    if not eyeballs:
        return 0.0, 0.0
    left, right, up, down = np.min([ball.reach / ball.eye_width for ball in eyeballs], axis=0).tolist()
    return min(max(x, -left), right), min(max(y, -up), down)


class GazePainter:
    """Draws the gaze of one eye into a BGR portrait.

    Attributes:
        slices: rows and columns of the eye's opening in the portrait.
    """

    def __init__(self, eyeball: Eyeball) -> None:
        height, width = eyeball.share.shape
        x, y = eyeball.origin
        self.slices = slice(y, y + height), slice(x, x + width)
        self._eye = eyeball
        self._ball = np.ascontiguousarray(eyeball.ball[..., ::-1])
        self._highlight = np.ascontiguousarray(eyeball.highlight[..., ::-1]) if eyeball.highlight.any() else None
        self._opening = on_colours(eyeball.opening)
        self._shade = np.ascontiguousarray(eyeball.shade[..., ::-1])
        self._margin = np.ascontiguousarray(eyeball.margin[..., ::-1]) if eyeball.margin.any() else None
        rows, columns = np.indices((height, width), dtype=np.float32)
        self._points = np.dstack([columns, rows])
        self._share = np.ascontiguousarray(eyeball.share, np.float32)

    def paint(self, portrait: Picture, x: float, y: float) -> Picture | None:
        """Draw the eye's box, BGR uint8 [height, width, 3], looking `x` to the right and `y` down, in eye widths.

        Args:
            portrait: the same box, BGR uint8 [height, width, 3 or more].
            x, y: within `limit_gaze`.

        Returns:
            The box; None if the eye does not visibly move.
        """
        if max(abs(x), abs(y)) * self._eye.eye_width < _LEAST_PX:
            return None
        shift = (np.array([x, y]) @ self._eye.axes * self._eye.eye_width).astype(np.float32)
        along = cv2.merge([self._share * part for part in shift])
        turned = sample(self._ball, self._points - along, cv2.INTER_CUBIC)
        if self._highlight is not None:
            moved = sample(self._highlight, self._points - _HIGHLIGHT * shift, outside=cv2.BORDER_CONSTANT)
            turned = np.asarray(cv2.add(turned, moved), np.uint8)
        open_ = np.ascontiguousarray(portrait[..., :3])
        if self._margin is not None:
            left = min(1.0, float(np.hypot(*shift)) / (_LEAVES * self._eye.eye_width))
            open_ = np.asarray(np.clip(open_ + left * self._margin, 0, 255), np.uint8)
        mixed = cv2.multiply(turned, self._shade, dtype=cv2.CV_32F)
        cv2.subtract(mixed, open_, mixed, dtype=cv2.CV_32F)
        cv2.multiply(mixed, self._opening, mixed)
        return np.asarray(cv2.add(open_, mixed, dtype=cv2.CV_8U), np.uint8)  # rounded to the nearest
