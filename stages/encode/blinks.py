"""Draws blinks: slides the closed lid over the eye in the portrait, before the head's motion is applied."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.lids import LOWER_LID_RISE, Lid
from stages.face.sampling import sample

Picture = npt.NDArray[np.uint8]


class BlinkPainter:
    """Draws the blinks of one eye into a BGR portrait.

    Attributes:
        slices: rows and columns of the eye's box in the portrait.
    """

    def __init__(self, lid: Lid, portrait: Picture) -> None:
        height, width = lid.skin.shape[:2]
        x, y = lid.origin
        self.slices = slice(y, y + height), slice(x, x + width)
        self._open = portrait[self.slices].astype(np.float32)
        self._skin = np.ascontiguousarray(lid.skin[..., ::-1])
        self._lashes, self._offset = lid.lashes, lid.offset
        self._lash_colour = lid.lash_colour[::-1].astype(np.float32)
        self._rows = np.arange(height, dtype=np.float32)[:, None]
        self._columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
        self._upper, self._lower = lid.upper[None], lid.lower[None]
        opening = self._lower - self._upper
        #: 0 where there is no eye, 1 a little inside its corners.
        self._present = np.clip(opening / max(0.33 * float(opening.max()), 1.0), 0, 1)
        self._tapered = np.clip(opening / max(0.45 * float(opening.max()), 1.0), 0, 1)
        self._stray = lid.stray

    def paint(self, blink: float) -> Picture:
        """Draw the eye's box, BGR uint8 [height, width, 3], with the lid closed by `blink`, 0 to 1."""
        opening = self._lower - self._upper
        rise = LOWER_LID_RISE * opening * blink
        edge = self._upper + blink * (1 - LOWER_LID_RISE) * opening
        soft = max(self._offset * 0.5, 1.0)
        from_top = np.clip((self._rows - (self._upper - self._offset * 1.1 * self._tapered)) / soft, 0, 1)
        over = from_top * np.clip(edge - self._rows + 0.5, 0, 1)
        under = np.clip(self._rows - (self._lower - rise) + 0.5, 0, 1) * np.clip(
            (self._lower - self._rows) / soft + 1, 0, 1
        )
        appear = min(1.0, blink / 0.12)
        cover = np.maximum(np.maximum(over, under) * appear * self._present, self._stray * max(0.0, 2.0 * blink - 1.0))[
            ..., None
        ]
        painted = self._open + cover * (self._skin - self._open)
        places_y = (self._rows - edge + self._offset).astype(np.float32)
        lashes = sample(self._lashes, np.dstack([self._columns, places_y]), outside=cv2.BORDER_CONSTANT)
        line = (lashes * appear * self._tapered)[..., None]
        painted += line * (self._lash_colour - painted)
        return np.asarray(np.clip(painted + 0.5, 0, 255), np.uint8)
