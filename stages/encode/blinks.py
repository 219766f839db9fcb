"""Draws blinks: closes the lids over the eye in the portrait, before the head's motion is applied."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.eyes.lids import LOWER_LID_RISE, Lid
from stages.face.sampling import sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

#: Closure at which all of the open lid's edge and lashes have given way to the moving ones.
_LEAVES = 0.14
#: The lid's own surface ends above its crease: from there on, and over which way, in eye widths.
_OVER_FOLD = (0.02, 0.1)
#: Nor does it reach the brow, or hair that crosses the socket: from where on, and over which way, of the height that unfolds.
_UNDER_BROW = (0.55, 0.45)
#: How much of each colour, BGR, the crease takes away: skin is red where it is in shade.
_CREASE_COLOUR = (1.1, 1.1, 0.85)
#: How much of the crease is gone, and how far the skin above it follows the lid's edge, when the eye is closed.
_FLATTENS, _FOLLOWS = 0.5, 0.3
#: How much darker the closed lid gets toward its edge.
_TO_LASHES = 0.1
#: How far the upper lid closes over the lower one, in eye widths.
_OVERLAP = 0.035
#: Below the lower lid the skin follows within this fraction of the eye's width.
_LOWER_REACH = 0.3


class BlinkPainter:
    """Draws the blinks of one eye into a BGRA portrait.

    Attributes:
        slices: rows and columns of what a blink changes in the portrait; the eye's opening is within.
    """

    def __init__(self, lid: Lid) -> None:
        (x, y), width = lid.origin, lid.below.shape[1]
        rows = _changed_rows(lid)
        self.slices = slice(y + rows.start, y + rows.stop), slice(x, x + width)
        self._grain = lid.grain  # of all rows, since it comes from beyond the changed ones, too
        self._lid = lid = _cut(lid, rows)
        #: How far a closed eye's upper lid has come down and its lower lid has risen, px.
        self._closed = (1 - LOWER_LID_RISE) * lid.opening + _OVERLAP * lid.eye_width * lid.taper
        self._risen = LOWER_LID_RISE * lid.opening
        self._under = lid.below - lid.opening
        self._beyond = np.asarray(lid.taper <= 0, np.float32)
        self._unfolded = _unfolded(lid)
        self._skin = cv2.split(lid.skin)[::-1]
        #: The rim of glasses stays before the lid, and the skin above it cannot be seen to follow.
        self._rim = lid.rim if lid.rim.any() else None
        self._follows = _FOLLOWS if self._rim is None else 0.0
        self._rows, self._columns = np.indices(lid.below.shape, dtype=np.float32)
        self._rows_of_grain = self._rows + np.float32(rows.start)

    def paint(self, portrait: Picture, blink: float) -> Picture:
        """Draw the eye's box, BGRA uint8 [height, width, 4], with the lid closed by `blink`, 0 to 1.

        Args:
            portrait: the same box with the eye open; its alpha stays as it is.
            blink: above 0.
        """
        lid = self._lid
        edge, rise = blink * self._closed, blink * self._risen
        leaves = min(1.0, blink / _LEAVES)
        above, under = edge - lid.below, self._under + rise  # px from the lids' edges, away from the eye
        places = self._places(above, under, edge, rise)
        upper = np.clip(above + 0.5, 0, 1)
        cover = np.maximum(np.maximum(upper, np.clip(under + 0.5, 0, 1)), self._beyond)
        # The share of each thing in a pixel; those before come over those behind.
        before = 1 if self._rim is None else 1 - self._rim
        of_lashes = leaves * before * self._lashes(above, blink)
        before = before - of_lashes
        of_lid = leaves * self._unfolded * upper * before
        behind = before - of_lid
        of_skin = cover * behind
        of_eye = (behind - of_skin) * (1 - self._shadow(above, leaves))
        if self._rim is not None:
            of_eye += self._rim
        light, crease = self._light(above, blink, places)
        light *= of_lid
        grain = of_lid * sample(self._grain, self._moved(-edge, self._rows_of_grain))
        drawn = []
        open_, moved = cv2.split(portrait), cv2.split(sample(portrait, places))
        for channel, (share, lashes) in enumerate(zip(_CREASE_COLOUR, lid.lash_colour[::-1].tolist(), strict=True)):
            colour = of_eye * open_[channel]
            colour += of_skin * moved[channel]
            colour += self._skin[channel] * (light - (share * light) * crease)
            colour += grain
            drawn.append(cv2.add(colour, lashes * of_lashes, dtype=cv2.CV_8U))  # rounded to the nearest
        return np.asarray(cv2.merge([*drawn, open_[3]]), np.uint8)

    def _moved(self, by: Grid, rows: Grid) -> Grid:
        """The places that lie `by` px down from each pixel, along the eye's height; the pixels are in `rows`."""
        x, y = map(float, self._lid.down)
        return np.asarray(cv2.merge((cv2.scaleAdd(by, x, self._columns), cv2.scaleAdd(by, y, rows))), np.float32)

    def _places(self, above: Grid, under: Grid, edge: Grid, rise: Grid) -> Grid:
        """Where the skin around the eye comes from: it follows the lids' edges, less and less with distance."""
        lid = self._lid
        far = np.clip(1 - above / (lid.unfolds + edge), 0, 1)
        near = np.clip(1 - under / np.float32(_LOWER_REACH * lid.eye_width), 0, 1)
        return self._moved(np.where(under > -0.5, rise * near * near, -self._follows * edge * far), self._rows)

    def _shadow(self, above: Grid, leaves: float) -> Grid:
        """The lid's shadow on the eyeball."""
        lid = self._lid
        shadow = np.exp(np.minimum(above, 0) * np.float32(1 / (0.06 * lid.eye_width)))
        return np.asarray(np.float32(0.38 * leaves) * shadow * lid.taper, np.float32)

    def _light(self, above: Grid, blink: float, places: Grid) -> tuple[Grid, Grid]:
        """The light on the lid, which has the eyeball's curve, and what its crease takes of it."""
        lid = self._lid
        shade = _TO_LASHES * np.exp(above * np.float32(-1 / (0.1 * lid.eye_width)))
        shade += 0.08 * np.exp(-np.square(above * np.float32(1 / (0.04 * lid.eye_width))))
        return 1 + blink * (lid.ball - shade), (1 - _FLATTENS * blink) * sample(lid.crease, places)

    def _lashes(self, above: Grid, blink: float) -> Grid:
        """Darkness of the lashes: they point up, then at the camera, then down."""
        lid = self._lid
        turn = 1 - 1.75 * blink
        # On the side to which they do not point there is only the edge itself.
        away = above if turn >= 0 else -above
        rows = lid.offset - np.maximum(away, away * np.float32(1 / max(abs(turn), 0.3)))
        places = np.asarray(cv2.merge((lid.along, rows)), np.float32)
        return sample(lid.lashes, places, outside=cv2.BORDER_CONSTANT)


def _changed_rows(lid: Lid) -> slice:
    """The rows of a lid's box in which a blink changes anything: from the skin that it unfolds, and the lashes, to the cheek."""
    above = lid.below > -np.maximum(lid.unfolds, lid.offset)
    changed = above & (lid.below - lid.opening < _LOWER_REACH * lid.eye_width)
    _, first, _, count = cv2.boundingRect(changed.view(np.uint8))
    return slice(max(first - 1, 0), first + count + 1)


def _cut(lid: Lid, rows: slice) -> Lid:
    """A lid with only these rows of its box."""
    whole = {field.name: getattr(lid, field.name) for field in fields(lid)}
    cut: dict[str, Any] = {
        name: np.ascontiguousarray(value[rows])
        for name, value in whole.items()
        if np.shape(value)[:2] == lid.below.shape
    }
    return replace(lid, **cut)


def _unfolded(lid: Lid) -> Grid:
    """Share of the lid's own surface over its edge: at once where the lashes are when open, with closing up to its crease."""
    height = np.maximum(-lid.below, 0) / lid.unfolds
    over = (-lid.below - lid.fold) / lid.eye_width
    share = 1 - _step((over - _OVER_FOLD[0]) / _OVER_FOLD[1])
    share *= 1 - _step((height - _UNDER_BROW[0]) / _UNDER_BROW[1])
    single = lid.stray * (1 - _step((height - 0.7) / 0.3))
    return np.asarray(np.maximum(share, single) * lid.side, np.float32)


def _step(value: Grid) -> Grid:
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)
