"""Splits the portrait into the person (a soft matte) and the background, filled in behind the person.

The person can then move in front of a still background, or of another one. Compositing the two parts gives exactly the same
picture: picture = figure + (1 - matte) * background.

The segmentation is a few pixels coarse and knows no hair. Near its outline the colours decide: each pixel is taken as a mixture
of the person's colour there and the background's, both spread from where there is no doubt. How much that is believed depends on
how far the two colours are apart, measured by how much each of them varies in this picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.fill import arbitrariness, grain, mean_around, spread, spread_colours
from stages.face.rig.person_regions import PersonRegions, find_regions
from stages.face.sampling import sample

Picture = npt.NDArray[np.uint8]

#: Shorter side of the small picture on which regions and colours are found, px: the segmentation's is 256.
_SMALL = 270
#: Variance that every colour has at least: noise, compression, rounding.
_NOISE = 20.0
#: Squared distance of the two colours, in their variances, from which a mixture is believed, and is fully.
_BELIEVED = 6.0, 40.0
#: The same for the distance from the background's colour: less is the background's own texture.
_DIFFERENT = 4.0, 16.0
#: Deviation of the background's colour, in 8-bit levels, between which strands cease to be told from it.
_BUSY = 5.0, 12.0
#: Probabilities of a person between which colours are believed before a busy background, too.
_HINT = 0.15, 0.4
#: Distance from both colours, and from the background's in 8-bit levels, from which it is an earring or the like.
_ODD, _BRIGHT = (9.0, 25.0), (40.0, 80.0)
#: Width of a strand of hair at most, and how far from the outline other things are looked for; of the shorter side.
_STRAND, _NEAR = 0.014, 0.03
#: Shares of the person in wide areas outside the outline that count as nothing, and as all: a shadow on the wall is no hair.
_SHADOW = 0.3, 0.7
#: Distance inside the outline where gaps between strands end to be believed, and are not at all; of the shorter side.
_INSIDE = 0.008, 0.02
#: Alpha below this becomes 0, and above 255 less this becomes 255.
_FAINT = 12
#: Levels by which the background may differ from its filling, besides its own deviation, and how much of that counts.
_LITTLE, _MOST = 2.0, 8.0
#: Width of the fringe that every outline has: blur, sharpening, colour that bleeds; of the shorter side, and its lowest alpha.
_FRINGE, _FRINGED = 0.006, 24
#: How much the nearest background counts in the filling: an edge that ends at the head goes on behind it.
_NEAREST = 30.0
#: Distances from the outline between which strands end to be looked for, and the blur of the filling; of the shorter side.
_FAR, _SOFT = (0.035, 0.05), 0.01
#: Radius and regularisation of the guided filter, in px of the small picture and squared levels.
_RADIUS, _STRICT = 3, 30.0


@dataclass(frozen=True)
class Matte:
    """The matte of a portrait; false if the picture could not be split.

    Attributes:
        alpha: 255 for the person, 0 for the background; uint8 [height, width]. It is raised where the picture is darker than
            the background's share in it, so that compositing gives exactly the picture.
        cut: the same for another background, without what is raised.
        plate: the background, filled in behind the person; uint8 [height, width, 3], in the portrait's channel order.
        repaired: whether the segmentation made a plain mistake, which was mended.
    """

    alpha: Picture
    cut: Picture
    plate: Picture
    repaired: bool = False

    @classmethod
    def empty(cls) -> Matte:
        """Make the matte of a picture that cannot be split."""
        return cls(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), np.zeros((0, 0, 3), np.uint8))

    def __bool__(self) -> bool:
        return bool(self.alpha.size)


@dataclass(frozen=True)
class _Colours:
    """A colour at each of some pixels, [3, n], and its variance, [n]."""

    mean: FloatArray
    variance: FloatArray


def split_person(portrait: Picture, landmarks: FloatArray, person: FloatArray) -> Matte:
    """Split an RGB portrait into person and background; the matte is empty if the segmentation misses the face.

    Args:
        portrait: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        person: probability that each pixel shows a person, 0 to 1, [height, width].
    """
    height, width = portrait.shape[:2]
    scale = min(1.0, _SMALL / min(height, width))
    size = round(width * scale), round(height * scale)
    to_small = np.array([size[0] / width, size[1] / height], np.float32)
    small = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    regions = find_regions(
        small,
        (landmarks[:, :2] + 0.5) * to_small - 0.5,
        np.asarray(cv2.resize(person, size, interpolation=cv2.INTER_AREA), np.float32),
    )
    if regions is None:
        return Matte.empty()
    return _Splitter(portrait, small, regions, to_small).split(landmarks)


class _Splitter:
    """One portrait, its small version, and the pixels of the portrait about which there is doubt."""

    def __init__(self, portrait: Picture, small: FloatArray, regions: PersonRegions, to_small: FloatArray) -> None:
        self._portrait, self._small, self._regions = portrait, small, regions
        height, width = portrait.shape[:2]
        grown = cv2.dilate(regions.doubtful.astype(np.uint8), np.ones((3, 3), np.uint8))
        doubtful = cv2.resize(grown, (width, height), interpolation=cv2.INTER_NEAREST)
        self._rows, self._columns = np.nonzero(doubtful)
        places = np.stack([self._columns, self._rows], axis=-1).astype(np.float32)
        self._places = (places + np.float32(0.5)) * to_small - np.float32(0.5)
        self._own = np.ascontiguousarray(portrait[self._rows, self._columns].T, np.float32)
        self._side = min(height, width)

    def split(self, landmarks: FloatArray) -> Matte:
        regions, small = self._regions, self._small
        colours, variance = spread_colours(small, regions.background)
        behind = colours, variance + arbitrariness(small, regions.background, colours)
        front = spread_colours(small, regions.sure)
        hair = self._hair(landmarks, front)
        coarse = self._coarse(front, behind, hair)
        alpha = self._fine(front, behind, hair, coarse)
        return self._exact(alpha, front, behind[1])

    def _hair(self, landmarks: FloatArray, front: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, float] | None:
        """The colour of the head outside the face, [3], and its variance: a lock may begin beside the neck."""
        regions = self._regions
        height, width = regions.person.shape
        to_small = np.array([width / self._portrait.shape[1], height / self._portrait.shape[0]], np.float32)
        oval = (landmarks[list(mesh.OVAL), :2] * to_small).astype(np.float32)
        face = np.zeros_like(regions.person)
        cv2.fillConvexPoly(face, np.round(oval).astype(np.int32), (1,))
        kernel = np.ones((2 * round(0.02 * min(height, width)) + 1,) * 2, np.uint8)
        around = (regions.sure > 0) & (cv2.dilate(face, kernel) == 0)
        middle, (across, down) = oval.mean(axis=0), np.ptp(oval, axis=0)
        around[round(float(middle[1])) :] = False
        around[:, : max(0, round(float(middle[0] - across)))] = False
        around[:, max(0, round(float(middle[0] + across))) :] = False
        around[: max(0, round(float(middle[1] - 1.2 * down)))] = False
        colours = self._small[around]
        if len(colours) < 30:
            return None
        colour = np.median(colours, axis=0).astype(np.float32)
        return colour, float(np.median(((colours - colour) ** 2).sum(axis=1)))

    def _coarse(
        self,
        front: tuple[FloatArray, FloatArray],
        behind: tuple[FloatArray, FloatArray],
        hair: tuple[FloatArray, float] | None,
    ) -> FloatArray:
        """Alpha of the small picture as a linear function of its colours around each pixel, [rows, columns, 4]."""
        regions = self._regions
        flat = np.ascontiguousarray(self._small.reshape(-1, 3).T)
        share, belief, _ = _mixture(
            flat,
            _flat(front),
            _flat(behind),
            hair,
            (regions.outwards.ravel(), regions.probability.ravel()),
            min(regions.person.shape),
        )
        shape = regions.person.shape
        alpha = regions.likely + belief.reshape(shape) * (share.reshape(shape) - regions.likely)
        alpha = np.where(regions.doubtful, alpha, regions.sure).astype(np.float32)
        return _guided(self._small, alpha)

    def _fine(
        self,
        front: tuple[FloatArray, FloatArray],
        behind: tuple[FloatArray, FloatArray],
        hair: tuple[FloatArray, float] | None,
        coarse: FloatArray,
    ) -> Picture:
        regions, height, width = self._regions, *self._portrait.shape[:2]
        outwards = self._at(regions.outwards) * np.float32(self._side / min(regions.person.shape))
        share, belief, odd = _mixture(
            self._own,
            self._colours(front),
            self._colours(behind),
            hair,
            (outwards, self._at(regions.probability)),
            self._side,
        )
        guide = self._at(coarse)
        expected = np.clip((guide[:3] * self._own).sum(axis=0) + guide[3], 0, 1)
        alpha = expected + belief * (share - expected)
        # Outside the outline only strands are believed: wide areas that are a little darker are shadows.
        wide = self._opened(alpha)
        alpha = np.where(outwards > 0, alpha - wide + _step(wide, *_SHADOW), alpha)
        alpha = np.maximum(alpha, odd)
        # The farther inside, the less a colour like the background's is believed to be the background.
        inwards = self._at(regions.inwards) / min(regions.person.shape)
        alpha = np.maximum(alpha, _step(inwards, *_INSIDE))
        level = np.round(alpha * (255 + 2 * _FAINT) - _FAINT)
        level = np.where(self._at(regions.sure) > 0.5, 255, np.clip(level, 0, 255))
        whole = cv2.resize(regions.sure, (width, height), interpolation=cv2.INTER_NEAREST) * 255
        whole[self._rows, self._columns] = level
        return np.asarray(whole, np.uint8)

    def _exact(self, alpha: Picture, front: tuple[FloatArray, FloatArray], variance: FloatArray) -> Matte:
        """Fill the background, and adjust both parts so that compositing them gives exactly the picture."""
        portrait, regions = self._portrait, self._regions
        height, width = alpha.shape
        size = self._small.shape[1], self._small.shape[0]
        reach = max(3, round(_FRINGE * self._side))
        solid = (alpha > _FRINGED).astype(np.uint8)
        fringe = cv2.dilate(solid, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        used = cv2.resize(np.maximum(alpha, fringe * 255), size, interpolation=cv2.INTER_AREA)
        clear = (used < 2).astype(np.float32) * (1 - regions.sure)
        if not clear.any():
            clear = regions.background
        filled = spread(mean_around(self._small, clear, _SOFT * min(size)), clear, _NEAREST)
        smooth = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
        noise = grain(portrait, alpha == 0)
        plate = np.asarray(np.clip(smooth + noise[..., None] + 0.5, 0, 255), np.uint8)
        outside = alpha == 0
        plate[outside] = portrait[outside]
        share = alpha[self._rows, self._columns].astype(np.float32) / 255
        outwards = self._at(regions.outwards) / min(size)
        spreads = self._at(variance) / 3
        behind = self._at(filled) + noise[self._rows, self._columns] * (share > 0)
        rest = self._own - share * self._at(front[0]) - (1 - share) * behind
        weights = (1 - share) * (spreads + 4), share * (self._at(front[1]) / 3 + _NOISE)
        fitted = behind + rest * (weights[0] / ((1 - share) * weights[0] + share * weights[1] + 1e-3))
        # Close to the person, and farther off if the background is plain, it stays as it was filled: what differs is a strand
        # or the outline's fringe, and moves with the person.
        free = np.maximum(_step(np.sqrt(spreads), *_BUSY), _step(outwards, *_FAR))
        free = np.where(fringe[self._rows, self._columns] > 0, 0, free)
        most = _LITTLE + np.where(
            fringe[self._rows, self._columns] > 0, 0, np.minimum(np.sqrt(spreads), _MOST) + 255 * free
        )
        fitted = np.clip(fitted, behind - most, behind + most)
        lowest = np.clip(behind - most, 0, 255)
        return _compose_exactly(
            portrait, alpha, plate, (self._rows, self._columns), fitted.T, lowest.T, regions.repaired
        )

    def _at(self, field: FloatArray) -> FloatArray:
        """A field of the small picture at the doubtful pixels of the portrait: [n], or [channels, n]."""
        count = len(self._places)
        rows = -(-count // 256)
        places = np.resize(self._places, (rows * 256, 2)).reshape(rows, 256, 2)
        found = sample(np.ascontiguousarray(field), places)
        flat = found.reshape(rows * 256, -1)[:count]
        return flat[:, 0] if field.ndim == 2 else np.ascontiguousarray(flat.T)

    def _colours(self, model: tuple[FloatArray, FloatArray]) -> _Colours:
        return _Colours(self._at(model[0]), self._at(model[1]))

    def _opened(self, alpha: FloatArray) -> FloatArray:
        """Alpha without what is narrower than a strand of hair."""
        whole = np.zeros(self._portrait.shape[:2], np.float32)
        whole[self._rows, self._columns] = alpha
        width = 2 * round(_STRAND * self._side / 2) + 1
        kernel = np.ones((width, width), np.uint8)
        return np.asarray(cv2.morphologyEx(whole, cv2.MORPH_OPEN, kernel)[self._rows, self._columns], np.float32)


def _flat(model: tuple[FloatArray, FloatArray]) -> _Colours:
    return _Colours(np.ascontiguousarray(model[0].reshape(-1, 3).T), model[1].ravel())


def _mixture(
    own: FloatArray,
    front: _Colours,
    behind: _Colours,
    hair: tuple[FloatArray, float] | None,
    seen: tuple[FloatArray, FloatArray],
    side: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take colours, [3, n], as mixtures of the person's and the background's.

    Args:
        own, front, behind, hair: the colours.
        seen: what the segmentation says: the distance outside the outline, and the probability of a person.
        side: shorter side of the picture, px.

    Returns:
        The person's share, how much it is to be believed, and the share of something that is neither; 0 to 1, [n].
    """
    apart, (outwards, probability) = own - behind.mean, seen
    share, belief, misfit = _project(apart, front.mean - behind.mean, front.variance, behind.variance)
    if hair is not None:
        other = _project(apart, hair[0][:, None] - behind.mean, np.float32(hair[1]), behind.variance)
        better = (other[2] < misfit) & (outwards > 0)
        share, belief, misfit = (
            np.where(better, theirs, ours) for theirs, ours in zip(other, (share, belief, misfit), strict=True)
        )
    distance = (apart**2).sum(axis=0)
    different = _step(distance / (behind.variance + _NOISE), *_DIFFERENT)
    # Outside the outline, in front of a busy background, what differs is most often that background.
    plain = np.maximum(1 - _step(np.sqrt(behind.variance / 3), *_BUSY), _step(probability, *_HINT))
    share = np.where(outwards > 0, share * different, share)
    belief = np.where(outwards > 0, belief * plain, belief)
    odd = (
        plain
        * different
        * _step(misfit, *_ODD)
        * _step(np.sqrt(distance), *_BRIGHT)
        * (1 - _step(outwards / side, 0.6 * _NEAR, _NEAR))
    )
    return share, belief, odd


def _project(
    apart: FloatArray, line: FloatArray, front: Any, behind: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Project on the line between the two colours: the share, its belief, and the distance from the line in variances."""
    length = (line * line).sum(axis=0) + 1e-3
    share = np.clip((apart * line).sum(axis=0) / length, 0, 1)
    variance = share**2 * (front + _NOISE) + (1 - share) ** 2 * (behind + _NOISE)
    misfit = ((apart - share * line) ** 2).sum(axis=0) / variance
    return share, _step(length / variance, *_BELIEVED), misfit


def _step(values: Any, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    rise = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def _guided(picture: FloatArray, alpha: FloatArray) -> FloatArray:
    """Fit alpha as a linear function of the colours around each pixel (the guided filter of He, Sun and Tang, 2013).

    Returns:
        Three factors and an offset, [height, width, 4].
    """
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)

    def mean(values: npt.NDArray[Any]) -> FloatArray:
        return np.asarray(cv2.blur(values, window, borderType=cv2.BORDER_REFLECT), np.float32)

    colours, level = mean(picture), mean(alpha)
    common = mean(picture * alpha[..., None]) - colours * level[..., None]
    planes = cv2.split(picture)
    matrix = np.empty((*alpha.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            matrix[..., i, j] = matrix[..., j, i] = mean(planes[i] * planes[j]) - colours[..., i] * colours[..., j]
        matrix[..., i, i] += _STRICT
    factors = np.linalg.solve(matrix, common[..., None])[..., 0]
    offset = level - (factors * colours).sum(axis=-1)
    return mean(np.dstack([factors, offset]).astype(np.float32))


def _compose_exactly(
    picture: Picture,
    alpha: Picture,
    plate: Picture,
    where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    fitted: FloatArray,
    lowest: FloatArray,
    repaired: bool,
) -> Matte:
    """Take a background as near to `fitted` as the picture allows; below `lowest`, [n, 3], alpha is raised instead."""
    own = picture[where].astype(np.int32) * 255
    through = 255 - alpha[where].astype(np.int32)
    fitting = own // np.maximum(through, 1)[:, None]
    behind = np.minimum(np.clip(np.round(fitted), 0, 255).astype(np.int32), fitting)
    behind = np.maximum(behind, np.floor(lowest).astype(np.int32))
    most = np.where(behind > 0, own // np.maximum(behind, 1), 255).min(axis=-1)
    raised = alpha.copy()
    raised[where] = 255 - np.minimum(through, most)
    plate[where] = behind
    return Matte(raised, alpha, plate, repaired)


def background_share(background: Picture, alpha: cv2.typing.MatLike) -> Picture:
    """Compute (1 - alpha) * background, uint8, rounded as `stages.encode.layers` rounds it."""
    through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(background, through, scale=1 / 255), np.uint8)
