"""Fills the background beside the person anew, with the wall's own texture; hair that is left there would stay as an outline.

What is fine in the wall is mirrored at the border of what is filled: it goes on there without a seam. What is much stronger than
the texture around, an edge or an object, is not: it would be seen twice.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import BUSY, step
from stages.face.rig.matting.fill import mean_around, spread
from stages.face.rig.matting.flyaway import compose_over
from stages.face.rig.matting.matte import Matte
from stages.face.sampling import blur, blur_widely, on_colours, sample

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Shorter side of the small picture on which all but the texture itself is found, px.
_SMALL = 360
#: Alpha from which the person is there, and from which nothing else is.
_PERSON, _INSIDE = 24, 250
#: Distances from the person between which the wall begins to be believed, and width of the rim in which nothing of it is; of the
#: shorter side.
_BESIDE, _RIM = (0.014, 0.02), 0.004
#: Sigma of the blur that parts the wall's texture from its light and shade, and of the one before a place is compared with its
#: filling; of the shorter side.
_FINE, _COMPARED = 0.012, 0.006
#: Differences from the filling, 8-bit levels besides the texture's strength, between which a place is something of its own,
#: and the part of that towards the person's colour between which it is rather the person's.
_OTHER, _ALIKE = (10.0, 18.0), (0.75, 0.92)
#: Strengths of the texture towards the person's colour between which what is beside the person begins to be hair.
_HAIRY = 0.5, 1.5
#: How far around the wall's light and shade counts, of the shorter side; its deviation, 8-bit levels besides this part of the
#: texture's strength, between which the wall ceases to be plain: it would be seen in the wrong place.
_STRUCTURE, _TEXTURED, _STRUCTURED = 0.045, 0.6, (6.0, 11.0)
#: How far around the texture's usual strength is measured, of the shorter side; how often, and what counts in it at most, in the
#: strength that was found before; parts of the whole mean that it is, between which what is fine is a texture, not lines.
_AROUND, _ROUNDS, _COUNTED, _EVEN = 0.05, 2, 1.3, (0.5, 0.65)
#: How many times the usual strength a detail may be.
_STRONGEST = 3.0
#: Depths behind the person between which the old filling begins to stay, and sigma of the direction in which texture is mirrored;
#: of the shorter side.
_DEEP, _TURNS = (0.06, 0.1), 0.02
#: Distances from the picture's border, of the shorter side, between which texture begins to be mirrored.
_BORDER = 0.0, 0.035
#: How much the nearest colours count in the filling.
_NEAREST = 30.0
#: A smaller share of the new filling is none.
_LEAST = 0.02


def texture_wall(picture: Picture, matte: Matte) -> Matte:
    """Fill the plate of a matte anew beside the person; compositing still gives exactly the picture.

    Args:
        picture: RGB, uint8 [height, width, 3].
        matte: of the picture.
    """
    own = (matte.alpha == 0) & ~cv2.absdiff(matte.plate, picture).any(axis=-1)
    wall = _Wall(picture, matte.alpha, own)
    if not wall.known.any():
        return matte
    height, width = own.shape
    share = np.asarray(cv2.resize(wall.share(), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    rows, columns = np.nonzero(share > _LEAST)
    if not len(rows):
        return matte
    filled = wall.at(wall.smooth, columns, rows) + wall.texture(picture, columns, rows)
    before = matte.plate[rows, columns]
    wanted = before + share[rows, columns][:, None] * (filled - before)
    return compose_over(picture, matte, (rows, columns), np.asarray(np.clip(wanted + 0.5, 0, 255), np.uint8))


class _Wall:
    """What is known of the wall, on a small picture: `known`, 0 or 1, and its light and shade, spread over the rest: `smooth`."""

    def __init__(self, picture: Picture, alpha: Picture, own: Mask) -> None:
        """`own`: where the plate shows the picture as it is, [height, width]."""
        height, width = alpha.shape
        self._scale = min(1.0, _SMALL / min(height, width))
        size = round(width * self._scale), round(height * self._scale)
        small, self._alpha = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (picture, alpha))
        self._colours = np.asarray(small, np.float32)
        away = cv2.distanceTransform((self._alpha <= _PERSON).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        self._side = min(size)
        self._away = away / self._side
        shown = cv2.resize(own.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= _INSIDE
        self._shown = (shown & (self._away > _RIM)).astype(np.float32)
        clear = self._shown * (self._away > _BESIDE[0])
        # What differs from its filling, and not towards the hair's colour, is covered by the person: it stays.
        self._level = self._usual(np.abs(self._fine(clear)).mean(axis=-1), clear)
        smooth = self._spread(clear)
        compared = blur(self._colours, _COMPARED * self._side) - smooth
        apart = np.linalg.norm(compared, axis=-1)
        alike = step(self._towards(compared, smooth) / np.maximum(apart, 1), *_ALIKE)
        self._other = self._shown * step(apart - self._level, *_OTHER) * (1 - alike)
        self._clear = clear
        self.known = np.maximum(clear, self._other > 0.5).astype(np.float32)
        self.smooth = self._spread(self.known)

    def share(self) -> FloatArray:
        """How much of the new filling is to be seen, 0 to 1, where the wall is plain, [height, width] of the small picture."""
        soft = self._mean(self._colours, self._clear, _FINE)
        apart = ((soft - self._mean(soft, self._clear, _STRUCTURE)) ** 2).sum(axis=-1)
        structure = np.sqrt(self._mean(apart[..., None], self._clear, _STRUCTURE)[..., 0])
        towards = self._towards(self._colours - self.smooth, self.smooth)
        hairy = step(towards / np.maximum(self._level, 1), *_HAIRY)
        beside = (1 - self._other) * (1 - step(self._away, *_BESIDE)) * np.maximum(1 - step(self._level, *BUSY), hairy)
        share = np.where(self._shown > 0, beside, 1) * (1 - step(structure - _TEXTURED * self._level, *_STRUCTURED))
        return np.asarray(share * (1 - step(_distance(self.known < 0.5) / self._side, *_DEEP)), np.float32)

    def texture(self, picture: Picture, x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]) -> FloatArray:
        """What is fine in the whole picture, mirrored at the border of what is known, [n, 3]."""
        inside = _distance(self.known < 0.5)
        down, across = np.gradient(blur_widely(inside - _distance(self.known > 0.5), _TURNS * self._side))
        way = (2 / self._scale * inside / np.maximum(np.hypot(down, across), 1e-3)).astype(np.float32)
        source = x - self.at(way * across, x, y), y - self.at(way * down, x, y)
        strength = np.abs(self._fine(self.known)).mean(axis=-1)
        usual = self._usual(strength, self.known)
        even = step(usual / np.maximum(self._mean(strength[..., None], self.known, _AROUND)[..., 0], 0.1), *_EVEN)
        most = (_STRONGEST * self.at(usual, *source))[:, None]
        soft = self._mean(self._colours, self.known, _FINE)
        fine = _sampled(picture, *source).astype(np.float32) - self.at(soft, *source)
        height, width = picture.shape[:2]
        border = np.min([source[0], width - 1 - source[0], source[1], height - 1 - source[1]], axis=0) / min(
            height, width
        )
        even = self.at(even * self.known, *source) * step(border, *_BORDER)
        return np.asarray(np.clip(fine, -most, most) * even[:, None], np.float32)

    def at(self, field: FloatArray, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> FloatArray:
        """A field of the small picture at places of the whole one, [n] or [n, channels]."""
        return _sampled(field, *((one + 0.5) * self._scale - 0.5 for one in (x, y)))

    def _towards(self, apart: FloatArray, smooth: FloatArray) -> FloatArray:
        """How far colours that are so far `apart` from the wall's go towards the person's, 8-bit levels, [height, width]."""
        line = self._spread((self._alpha > _INSIDE).astype(np.float32)) - smooth
        return np.asarray((apart * line).sum(axis=-1) / np.maximum(np.linalg.norm(line, axis=-1), 1), np.float32)

    def _mean(self, values: FloatArray, known: FloatArray, reach: float) -> FloatArray:
        return mean_around(values, known, reach * self._side)

    def _fine(self, known: FloatArray) -> FloatArray:
        """What is fine in what is known, 0 elsewhere, [height, width, 3]."""
        return np.asarray((self._colours - self._mean(self._colours, known, _FINE)) * on_colours(known), np.float32)

    def _spread(self, known: FloatArray) -> FloatArray:
        """The light and shade of what is known, spread over the rest, [height, width, 3]."""
        return spread(self._mean(self._colours, known, _FINE), known, _NEAREST)

    def _usual(self, strength: FloatArray, known: FloatArray) -> FloatArray:
        """The mean of what is not much stronger than the rest around: lines and objects do not count."""
        usual = self._mean(strength[..., None], known, _AROUND)[..., 0]
        for _ in range(_ROUNDS):
            usual = self._mean(np.minimum(strength, _COUNTED * usual)[..., None], known, _AROUND)[..., 0]
        return usual


def _distance(mask: Mask) -> FloatArray:
    """Distance of each place in a mask from its border, px."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _sampled(field: npt.NDArray[Any], x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A picture at a list of places, [n] or [n, channels]; mirrored beyond its borders."""
    count = len(x)
    places = np.stack([x, y], axis=-1).astype(np.float32)
    places = np.resize(places, (-(-count // 256) * 256, 2)).reshape(-1, 256, 2)
    found = sample(np.ascontiguousarray(field), places, outside=cv2.BORDER_REFLECT_101)
    return found.reshape(-1, *field.shape[2:])[:count]
