"""Takes each colour as a mixture of the person's colour and the background's, both spread from where there is no doubt.

How much that is believed depends on how far the two colours are apart, measured by how much each of them varies in this picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.face.mesh import FloatArray

#: Shares of red, green and blue in how bright a colour is, and in how blue and how red: luma and both chroma differences of JPEG.
LUMA = np.array((0.299, 0.587, 0.114), np.float32)
CHROMA = np.array(((-0.169, -0.331, 0.5), (0.5, -0.419, -0.081)), np.float32)
#: Variance that every colour has at least: noise, compression, rounding.
NOISE = 20.0
#: Squared distance of the two colours, in their variances, from which a mixture is believed, and is fully.
_BELIEVED = 6.0, 40.0
#: The same for the distance from the background's colour: less is the background's own texture.
_DIFFERENT = 4.0, 16.0
#: Deviation of the background's colour, in 8-bit levels, between which strands cease to be told from it.
BUSY = 5.0, 12.0
#: How much brighter than the hair a wall between hair begins to be, and is, 8-bit levels.
BRIGHTER = 60.0, 90.0
#: Probabilities of a person between which colours are believed before a busy background, too.
_HINT = 0.15, 0.4
#: Distance from both colours, and from the background's in 8-bit levels, from which it is an earring or the like.
_ODD, _BRIGHT = (9.0, 25.0), (40.0, 80.0)
#: How far from the outline other things are looked for, of the shorter side.
_NEAR = 0.05
#: Distance outside the outline over which what holds outside begins to hold; of the shorter side.
_EDGE = 0.002

#: Pixels that are looked at together: what is found on the way then takes little memory.
_PIECE = 1 << 16

#: The colour of the hair, [3], and its variance.
HairColour = tuple[FloatArray, float]


@dataclass(frozen=True)
class Colours:
    """A colour at each of some pixels, [3, n], and its variance, [n]."""

    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of_picture(cls, model: tuple[FloatArray, FloatArray]) -> Colours:
        """The colours, [height, width, 3], and variances, [height, width], of a whole picture."""
        return cls(np.ascontiguousarray(model[0].reshape(-1, 3).T), model[1].ravel())

    def of(self, piece: slice) -> Colours:
        """Those of some of the pixels."""
        return Colours(self.mean[:, piece], self.variance[piece])


@dataclass(frozen=True)
class SideColours:
    """The colours that the person and the background behind would have at some pixels, and the hair's, if there is any."""

    person: Colours
    wall: Colours
    hair: HairColour | None

    def of(self, piece: slice) -> SideColours:
        """Those at some of the pixels."""
        return SideColours(self.person.of(piece), self.wall.of(piece), self.hair)


def pieces(count: int) -> Iterator[slice]:
    """Divide so many pixels into pieces that can be looked at one after the other."""
    return (slice(start, start + _PIECE) for start in range(0, max(count, 1), _PIECE))


def mixture(
    own: FloatArray,
    sides: SideColours,
    seen: tuple[FloatArray, FloatArray, FloatArray],
    side: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take colours, [3, n], as mixtures of the person's and the background's.

    Args:
        own, sides: the colours.
        seen: what the segmentation says: the distance outside the outline, the probability of a person, and from 0 to 1 where
            it is not certain inside.
        side: shorter side of the picture, px.

    Returns:
        The person's share, how much it is to be believed, and the share of something that is neither; 0 to 1, [n].
    """
    found = [
        _mixture(own[:, piece], sides.of(piece), (seen[0][piece], seen[1][piece], seen[2][piece]), side)
        for piece in pieces(own.shape[1])
    ]
    share, belief, odd = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return share, belief, odd


def _mixture(
    own: FloatArray, sides: SideColours, seen: tuple[FloatArray, FloatArray, FloatArray], side: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`mixture` of a piece."""
    front, behind, hair = sides.person, sides.wall, sides.hair
    apart, (outwards, probability, unsure) = own - behind.mean, seen
    share, belief, misfit = project(apart, front.mean - behind.mean, front.variance, behind.variance)
    if hair is not None:
        other = project(apart, hair[0][:, None] - behind.mean, np.float32(hair[1]), behind.variance)
        better = (other[2] < misfit) & ((outwards > 0) | (unsure > 0))
        share, belief, misfit = (
            np.where(better, theirs, ours) for theirs, ours in zip(other, (share, belief, misfit), strict=True)
        )
    distance = (apart**2).sum(axis=0)
    different = step(distance / (behind.variance + NOISE), *_DIFFERENT)
    # Outside the outline, in front of a busy background, what differs is most often that background.
    plain = np.maximum(1 - step(np.sqrt(behind.variance / 3), *BUSY), step(probability, *_HINT))
    outside = outside_share(outwards, side)
    share = share * (1 + outside * (different - 1))
    belief = belief * (1 + outside * (plain - 1))
    odd = (
        plain
        * different
        * step(misfit, *_ODD)
        * step(np.sqrt(distance), *_BRIGHT)
        * (1 - step(outwards / side, 0.6 * _NEAR, _NEAR))
    )
    return share, belief, odd


def outside_share(outwards: FloatArray, side: int) -> FloatArray:
    """0 inside the outline, 1 outside; without a step, which would be seen."""
    return np.asarray(np.minimum(outwards / (_EDGE * side), 1), np.float32)


def project(
    apart: FloatArray, line: FloatArray, front: Any, behind: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Project on the line between the two colours: the share, its belief, and the distance from the line in variances."""
    length = (line * line).sum(axis=0) + 1e-3
    share = np.clip((apart * line).sum(axis=0) / length, 0, 1)
    variance = share**2 * (front + NOISE) + (1 - share) ** 2 * (behind + NOISE)
    misfit = ((apart - share * line) ** 2).sum(axis=0) / variance
    return share, step(length / variance, *_BELIEVED), misfit


def step(values: Any, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    rise = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)
