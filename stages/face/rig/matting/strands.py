"""Lets the person's texture go on above the upper border: hair, a hat or cloth, bent as the outline is there.

Close to the border the strands that cross it keep their direction; farther out, patches of the texture follow (`patchwork.py`).
Where the border cuts the forehead, the hair beside it closes over it (`hairline.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.matting.closing_arcs import Arc
from stages.face.rig.matting.hairline import find_hairline
from stages.face.rig.matting.patchwork import patchwork
from stages.face.sampling import blur, blur_widely, sample

Picture = npt.NDArray[np.uint8]

#: Rows below the border in which the strands' direction is measured, and sigma along the border over which it is one, of the
#: shorter side; sigma of the blur before it is measured, px; the difference of squared slopes, levels per px, that counts for
#: upright strands anyway.
_SEEN, _ONE, _FINE, _CERTAIN = 0.05, 0.04, 1.0, 2.0
#: How far to the side strands lean at most, px per px upwards, and from where on they lie along the border and do not cross it.
_LEAN, _LYING = 1.5, 3.0
#: How much the texture is bent as the outline is, and how far it goes on beyond the outline, in the arc's height.
_BENT, _BEYOND = 0.6, 1.12
#: Height over which tones that differ along the border become one, of the shorter side, and how much they do; sigma of a tone.
_TONED, _ONE_TONE, _TONE = 0.08, 0.7, 0.04
#: How much longer the hair beside a forehead becomes; the part of the limit by which locks differ, and sigma of a lock, of the
#: shorter side.
_STRETCH, _UNEVEN, _LOCK = 1.4, 0.5, 0.012
#: After how many turns it fades, and how much; steps in which its mean is taken.
_TURNS, _FADED, _STEPS = 1.2, 0.7, 12


@dataclass(frozen=True)
class Border:
    """What the person is like along the upper border.

    Attributes:
        person: RGB uint8 [some rows below the border, width, 3].
        lean: how far to the side the strands go for each px upwards, [width].
        limit: how far below the border the person's colours may be taken, px, [width].
        side: shorter side of the picture, px.
    """

    person: Picture
    lean: FloatArray
    limit: FloatArray
    side: int

    @classmethod
    def of(cls, person: Picture, limit: FloatArray, side: int) -> Border:
        """Measure the strands' direction."""
        return cls(person, _lean(person, side), limit, side)

    def beyond(self, arc: Arc, rows: int, skin: FloatArray | None = None) -> Picture:
        """The person's colours in the `rows` above the border, below an arc that closes the person, uint8 [rows, width, 3].

        `skin` is the forehead's colour, RGB, if the border may cut it.
        """
        height = (rows - 0.5 - np.arange(rows, dtype=np.float32))[:, None]
        tone = self._tone()
        line = None if skin is None else find_hairline(tone, arc, skin, self.side)
        if line is None:
            colours = self._bent(arc, height, tone)
        else:
            # The forehead goes on within the hairline, and the hair beside it outside.
            width = len(self.lean)
            share = line.forehead_share(height, width)[..., None]
            inside = np.repeat(np.clip(np.arange(width, dtype=np.float32), *line.forehead)[None], rows, axis=0)
            colours = share * self._colours(inside, height)
            for place, along, part in line.strands(height, width):
                colours += (1 - share) * part[..., None] * self._colours(place, along)
        return np.asarray(np.clip(colours + 0.5, 0, 255), np.uint8)

    def _bent(self, arc: Arc, height: FloatArray, tone: FloatArray) -> FloatArray:
        """The texture above the border at these heights, [rows, 1], bent as the arc is, [rows, width, 3]."""
        first, last = (int(np.clip(end, 0, len(tone) - 1)) for end in (arc.x[0], arc.x[-1]))
        own = slice(first, last + 1)
        highest = float(arc.height.max())
        rows = math.ceil(_BEYOND * highest) + 2
        up = rows - 0.5 - np.arange(rows, dtype=np.float32)[:, None, None]
        evened = _ONE_TONE * (1 - np.exp(-up / np.float32(_TONED * self.side)))
        tones = np.asarray(tone[own] + evened * (tone[own].mean(axis=0) - tone[own]), np.float32)
        straight = patchwork(
            np.ascontiguousarray(self.person[:, own]), self.lean[own], self.limit[own], tones, self.side
        )
        x = np.arange(len(tone), dtype=np.float32)
        here = np.maximum(np.interp(x, arc.x, arc.height), 1)
        way = _BENT * np.minimum(height * (highest / here), _BEYOND * highest) + (1 - _BENT) * height
        at = np.broadcast_to(x - first, way.shape)
        return sample(straight, np.stack([at, rows - 0.5 - way], axis=-1).astype(np.float32))

    def _colours(self, crossing: FloatArray, way: FloatArray) -> FloatArray:
        """The colours of strands that cross the border at x, [rows, width], so many px farther along, [rows, width or 1]."""
        limit = _at(self._uneven_limit(), crossing)
        y = _folded(way / _STRETCH, limit)
        places = np.stack([crossing - y * _at(self.lean, crossing), y], axis=-1).astype(np.float32)
        colours = sample(self.person, places, outside=cv2.BORDER_REFLECT_101).astype(np.float32)
        # What is repeated several times fades into the mean of each strand.
        faded = 1 - np.exp(-((way / (_STRETCH * _TURNS * limit)) ** 2))
        colours += (_FADED * faded)[..., None] * (_at_colours(self._mean(), crossing) - colours)
        return colours

    def _uneven_limit(self) -> FloatArray:
        """The limit, smaller by another part in each strand, so that the texture turns back along no line."""
        parts = np.random.default_rng(0).random((1, len(self.limit)), np.float32)
        parts = blur(parts, max(_LOCK * self.side, 0.5))[0]
        parts = (parts - parts.min()) / max(float(np.ptp(parts)), 1e-6)
        return np.asarray(np.maximum(self.limit * (1 - _UNEVEN * parts), 2), np.float32)

    def _mean(self) -> FloatArray:
        """The mean colour of each strand within its limit, [width, 3]."""
        steps = (np.arange(_STEPS, dtype=np.float32)[:, None] + 0.5) / _STEPS
        y = steps * self.limit
        x = np.arange(len(self.lean), dtype=np.float32) - y * self.lean
        found = sample(self.person, np.stack([x, y], axis=-1).astype(np.float32), outside=cv2.BORDER_REFLECT_101)
        return np.asarray(found.mean(axis=0, dtype=np.float32), np.float32)

    def _tone(self) -> FloatArray:
        """The person's tone along the border, [width, 3]."""
        rows = max(1, round(_TONE * self.side))
        mean = np.asarray(self.person[:rows].mean(axis=0, dtype=np.float32), np.float32)
        return np.asarray(blur_widely(mean[None], _TONE * self.side)[0], np.float32)


def _lean(person: Picture, side: int) -> FloatArray:
    rows = max(3, round(_SEEN * side))
    grey = blur(cv2.cvtColor(person[:rows], cv2.COLOR_RGB2GRAY).astype(np.float32), _FINE)
    down, across = np.gradient(grey)
    # The structure tensor: its larger direction is across the strands.
    sums = [np.asarray(one.mean(axis=0), np.float32)[None] for one in (across**2 - down**2, 2 * across * down)]
    upright, slanting = (blur_widely(one, _ONE * side)[0] for one in sums)
    lean = np.tan(np.arctan2(slanting, upright + _CERTAIN) / 2)
    return np.asarray(np.clip(lean, -_LEAN, _LEAN) / (1 + (lean / _LYING) ** 4), np.float32)


def _folded(height: FloatArray, limit: FloatArray) -> FloatArray:
    """A way of so much height, forth and back within the limit."""
    at = np.mod(height, 2 * limit)
    return np.asarray(np.minimum(at, 2 * limit - at), np.float32)


def _at_colours(values: FloatArray, x: FloatArray) -> FloatArray:
    places = np.stack([x, np.zeros_like(x)], axis=-1).astype(np.float32)
    return sample(np.ascontiguousarray(values[None], np.float32), places, outside=cv2.BORDER_REFLECT_101)


def _at(values: FloatArray, x: FloatArray) -> FloatArray:
    return np.interp(x, np.arange(len(values)), values).astype(np.float32)
