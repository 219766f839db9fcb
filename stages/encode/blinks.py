"""Draws blinks: closes the lids over the eye in the portrait, before the head's motion is applied."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.lids import LOWER_LID_RISE, Lid
from stages.face.sampling import on_colours, sample

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
    """Draws the blinks of one eye into a BGR portrait.

    Attributes:
        slices: rows and columns of the eye's box in the portrait.
    """

    def __init__(self, lid: Lid) -> None:
        height, width = lid.below.shape
        x, y = lid.origin
        self.slices = slice(y, y + height), slice(x, x + width)
        self._lid = lid
        self._skin = np.ascontiguousarray(lid.skin[..., ::-1])
        self._lash_colour = lid.lash_colour[::-1].astype(np.float32)
        #: The rim of glasses stays before the lid, and the skin above it cannot be seen to follow.
        self._rim = on_colours(lid.rim) if lid.rim.any() else None
        self._follows = _FOLLOWS if self._rim is None else 0.0
        self._rows, self._columns = np.indices((height, width), dtype=np.float32)

    def paint(self, portrait: Picture, blink: float) -> Picture:
        """Draw the eye's box, BGR uint8 [height, width, 3], with the lid closed by `blink`, 0 to 1.

        Args:
            portrait: the same box with the eye open, BGR uint8 [height, width, 3 or more].
            blink: above 0.
        """
        lid = self._lid
        shown = np.ascontiguousarray(portrait[..., :3])
        rise = LOWER_LID_RISE * blink * lid.opening
        edge = blink * ((1 - LOWER_LID_RISE) * lid.opening + _OVERLAP * lid.eye_width * lid.taper)
        leaves = min(1.0, blink / _LEAVES)
        above, under = edge - lid.below, lid.below - (lid.opening - rise)  # px from the lids' edges, away from the eye
        places = self._places(above, under, edge, rise)
        moved = sample(shown, places).astype(np.float32)
        eyeball = shown.astype(np.float32)
        eyeball *= on_colours(1 - self._shadow(above, leaves) * lid.taper)
        upper, lower = np.clip(above + 0.5, 0, 1), np.clip(under + 0.5, 0, 1)
        cover = np.where(lid.taper > 0, np.maximum(upper, lower), 1)
        eyeball += on_colours(cover) * (moved - eyeball)
        share = self._unfolded(leaves) * upper
        eyeball += on_colours(share) * (self._surface(above, edge, blink, places) - eyeball)
        line = on_colours(self._lashes(above, blink) * leaves)
        eyeball += line * (self._lash_colour - eyeball)
        if self._rim is not None:
            eyeball += self._rim * (shown - eyeball)
        return np.asarray(np.clip(eyeball + 0.5, 0, 255), np.uint8)

    def _places(self, above: Grid, under: Grid, edge: Grid, rise: Grid) -> Grid:
        """Where the skin around the eye comes from: it follows the lids' edges, less and less with distance."""
        lid = self._lid
        far = np.clip(1 - above / (lid.unfolds + edge), 0, 1)
        near = np.clip(1 - under / (_LOWER_REACH * lid.eye_width), 0, 1)
        shift = np.where(under > -0.5, rise * near * near, -self._follows * edge * far)
        return np.dstack([self._columns + shift * lid.down[0], self._rows + shift * lid.down[1]])

    def _shadow(self, above: Grid, leaves: float) -> Grid:
        """The lid's shadow on the eyeball."""
        return np.asarray(0.38 * leaves * np.exp(np.minimum(above, 0) / (0.06 * self._lid.eye_width)), np.float32)

    def _unfolded(self, leaves: float) -> Grid:
        """Share of the lid's own surface: at once where the open lid's lashes are, with the closing up to the crease."""
        lid = self._lid
        height = np.maximum(-lid.below, 0) / lid.unfolds
        over = (-lid.below - lid.fold) / lid.eye_width
        share = leaves * (1 - _step((over - _OVER_FOLD[0]) / _OVER_FOLD[1]))
        share *= 1 - _step((height - _UNDER_BROW[0]) / _UNDER_BROW[1])
        single = lid.stray * (leaves * (1 - _step((height - 0.7) / 0.3)))
        return np.maximum(share, single) * lid.side

    def _surface(self, above: Grid, edge: Grid, blink: float, places: Grid) -> Grid:
        """The lid's skin in the light of the eyeball's curve, with its crease and the grain that moves with its edge."""
        lid = self._lid
        shade = _TO_LASHES * np.exp(-above / (0.1 * lid.eye_width)) + 0.08 * np.exp(
            -np.square(above / (0.04 * lid.eye_width))
        )
        crease = (1 - _FLATTENS * blink) * sample(lid.crease, places)
        light = 1 + blink * (lid.ball - shade)
        lit = cv2.merge([(light * (1 - share * crease)).astype(np.float32) for share in _CREASE_COLOUR])
        places = np.dstack([self._columns - edge * lid.down[0], self._rows - edge * lid.down[1]])
        return np.asarray(self._skin * lit + on_colours(sample(lid.grain, places)))

    def _lashes(self, above: Grid, blink: float) -> Grid:
        """Darkness of the lashes: they point up, then at the camera, then down."""
        lid = self._lid
        turn = 1 - 1.75 * blink
        turn = np.copysign(max(abs(turn), 0.3), turn)
        # On the side to which they do not point there is only the edge itself.
        rows = lid.offset - np.where(above * turn > 0, above / turn, -np.abs(above))
        return sample(lid.lashes, np.dstack([lid.along, rows.astype(np.float32)]), outside=cv2.BORDER_CONSTANT)


def _step(value: Grid) -> Grid:
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)
