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
from stages.face.sampling import on_colours, sample

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
_STRAND, _NEAR = 0.014, 0.05
#: The distance from the outline between which darker things end to be looked for, of the shorter side.
_DARK = 0.018, 0.03
#: Half the width and height of the place beside an ear where such things are, and how far its middle is below the mesh's side, in
#: widths and heights of the face. The width from which they are one, of the shorter side: along a sharpened outline, the
#: background has a thin bright line.
_EARRING, _THIN = (0.22, 0.42, 0.3), 0.004
#: Shares of the person in wide areas outside the outline that count as nothing, and as all: a shadow on the wall is no hair.
_SHADOW = 0.3, 0.7
#: Distance inside the outline where gaps between strands end to be believed, and are not at all; of the shorter side.
_INSIDE = 0.008, 0.02
#: Distance outside the outline over which what holds outside begins to hold; of the shorter side.
_EDGE = 0.002
#: Distance inside the outline between which half transparent parts end to be believed (they are shading; gaps between strands
#: show the background whole), and the shares that then count as nothing and as all.
_SHADED, _GAP = (0.002, 0.008), (0.1, 0.6)
#: How much deeper gaps are believed between strands of hair, of the shorter side, and the squared distance from the hair's
#: colour, in its variance, between which the person ends to be hair.
_DEEPER, _HAIR = 0.006, (2.0, 6.0)
#: Width of single specks that are noise of the background; of the shorter side.
_SPECK = 0.006
#: Alpha below this becomes 0, and above 255 less this becomes 255.
_FAINT = 12
#: Levels by which the background may differ from its filling, besides its own deviation, and how much of that counts.
_LITTLE, _MOST = 2.0, 8.0
#: Width of the fringe that every outline has: blur, sharpening, colour that bleeds; of the shorter side, and its lowest alpha.
_FRINGE, _FRINGED = 0.006, 24
#: Width of its inner part, in which whatever differs from the filling belongs to the outline; of the shorter side.
_RIM = 0.003
#: Distance from a mixture of both colours, in variances, between which the fringe ends to be one.
_UNLIKE = 4.0, 12.0
#: Shares of the person between which it begins to be one, and alpha below which the background is filled from a pixel.
_TOWARDS, _CLEAR = (0.02, 0.1), 8
#: How much the nearest background counts in the filling: an edge that ends at the head goes on behind it.
_NEAREST = 30.0
#: Distances from the outline between which strands end to be looked for, and the blur of the filling; of the shorter side.
_FAR, _SOFT = (0.035, 0.05), 0.01
#: Distance over which the filling turns from the colours beside it to blurred ones; of the shorter side.
_CONTINUED = 0.02
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
        person, wall = self._colours(front), self._colours(behind)
        alpha = self._fine(person, wall, hair, coarse, self._beside_ears(landmarks))
        return self._exact(alpha, person, wall, hair)

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
        person: _Colours,
        wall: _Colours,
        hair: tuple[FloatArray, float] | None,
        coarse: FloatArray,
        beside_ears: FloatArray,
    ) -> Picture:
        regions, height, width = self._regions, *self._portrait.shape[:2]
        outwards = self._at(regions.outwards) * np.float32(self._side / min(regions.person.shape))
        share, belief, odd = _mixture(
            self._own,
            person,
            wall,
            hair,
            (outwards, self._at(regions.probability)),
            self._side,
        )
        guide = self._at(coarse)
        expected = np.clip((guide[:3] * self._own).sum(axis=0) + guide[3], 0, 1)
        alpha = expected + belief * (share - expected)
        # Outside the outline only strands are believed: wide areas that are a little darker are shadows.
        wide = self._opened(alpha, _STRAND)
        alpha += _outside(outwards, self._side) * (_step(wide, *_SHADOW) - wide)
        # What is darker than the wall is most often hair; what is brighter is an earring, if it hangs where earrings do.
        dark = self._own.sum(axis=0) < wall.mean.sum(axis=0)
        alpha = np.maximum(alpha, odd * dark * (1 - _step(outwards / self._side, *_DARK)))
        odd *= beside_ears * ~dark
        if odd.any():
            alpha = np.maximum(alpha, _step(self._opened(odd, _THIN), *_GAP))
        # The farther inside, the less a colour like the background's is believed to be the background.
        inwards = self._at(regions.inwards) / min(regions.person.shape)
        among_hair = self._among_hair(person, hair)
        shaded = _step(inwards, *_SHADED) * (1 - among_hair)
        alpha += shaded * (np.maximum(_step(alpha, *_GAP), alpha) - alpha)
        alpha = np.maximum(alpha, _step(inwards - _DEEPER * among_hair, *_INSIDE))
        level = np.round(alpha * (255 + 2 * _FAINT) - _FAINT)
        level = np.where(self._at(regions.sure) > 0.5, 255, np.clip(level, 0, 255))
        whole = cv2.resize(regions.sure, (width, height), interpolation=cv2.INTER_NEAREST) * 255
        whole[self._rows, self._columns] = level
        return _without_specks(np.asarray(whole, np.uint8), _SPECK * self._side)

    def _exact(self, alpha: Picture, person: _Colours, wall: _Colours, hair: tuple[FloatArray, float] | None) -> Matte:
        """Fill the background, and adjust both parts so that compositing them gives exactly the picture."""
        portrait, regions = self._portrait, self._regions
        height, width = alpha.shape
        size = self._small.shape[1], self._small.shape[0]
        near, fringe = self._fringe(alpha, person, wall, hair)
        whole = alpha.copy()
        whole[self._rows, self._columns] = np.maximum(alpha[self._rows, self._columns], 255 * fringe)
        used = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        clear = (used < _CLEAR).astype(np.float32) * (1 - regions.sure)
        if not clear.any():
            clear = regions.background
        filled = _filled(self._small, clear)
        smooth = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
        grainy = grain(portrait, alpha == 0)
        plate = np.asarray(np.clip(smooth + grainy[..., None] + 0.5, 0, 255), np.uint8)
        outside = alpha == 0
        plate[outside] = portrait[outside]
        share = alpha[self._rows, self._columns].astype(np.float32) / 255
        outwards = self._at(regions.outwards) / min(size)
        spreads = wall.variance / 3
        still = self._at(filled) + grainy[self._rows, self._columns] * (share > 0)
        rest = self._own - share * person.mean - (1 - share) * still
        weights = (1 - share) * (spreads + 4), share * (person.variance / 3 + _NOISE)
        fitted = still + rest * (weights[0] / ((1 - share) * weights[0] + share * weights[1] + 1e-3))
        # In the fringe, and farther off if the background is plain, it stays as it was filled: what differs is the outline or a
        # strand, and moves with the person.
        free = np.maximum(_step(np.sqrt(spreads), *_BUSY), _step(outwards, *_FAR))
        most = np.minimum(np.sqrt(spreads), _MOST) + 255 * free
        most = _LITTLE + (1 - fringe) * np.maximum(most, 255 * near)
        fitted = np.clip(fitted, still - most, still + most)
        lowest = np.clip(still - most, 0, 255)
        return _compose_exactly(
            portrait, alpha, plate, (self._rows, self._columns), fitted.T, lowest.T, regions.repaired
        )

    def _fringe(
        self, alpha: Picture, person: _Colours, wall: _Colours, hair: tuple[FloatArray, float] | None
    ) -> tuple[FloatArray, FloatArray]:
        """Where the outline's fringe may be, and how much it is there, 0 to 1, at the doubtful pixels, [n].

        In its inner part all belongs to it; in the outer one only what differs from the background towards the person's colour:
        anything else is the background's own.
        """
        solid = (alpha > _FRINGED).astype(np.uint8)
        rim, near = (
            _grown(solid, max(least, round(reach * self._side)))[self._rows, self._columns].astype(np.float32)
            for least, reach in ((2, _RIM), (3, _FRINGE))
        )
        apart, fringe = self._own - wall.mean, rim
        fronts: list[tuple[FloatArray, Any]] = [(person.mean, person.variance)]
        if hair is not None:
            fronts.append((hair[0][:, None], np.float32(hair[1])))
        for mean, variance in fronts:
            share, belief, misfit = _project(apart, mean - wall.mean, variance, wall.variance)
            fringe = np.maximum(fringe, near * belief * (1 - _step(misfit, *_UNLIKE)) * _step(share, *_TOWARDS))
        return near, fringe

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

    def _among_hair(self, person: _Colours, hair: tuple[FloatArray, float] | None) -> FloatArray:
        """1 where the person has the hair's colour, 0 elsewhere, at the doubtful pixels, [n]."""
        if hair is None:
            return np.zeros(len(self._rows), np.float32)
        apart = ((person.mean - hair[0][:, None]) ** 2).sum(axis=0)
        return 1 - _step(apart / (hair[1] + _NOISE), *_HAIR)

    def _beside_ears(self, landmarks: FloatArray) -> FloatArray:
        """1 where earrings hang and the temples of glasses are, 0 elsewhere, at the doubtful pixels, [n]."""
        up = landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]
        across = landmarks[mesh.RIGHT_SIDE, :2] - landmarks[mesh.LEFT_SIDE, :2]
        own = np.stack([self._columns, self._rows], axis=-1).astype(np.float32)
        found = np.zeros(len(own), np.float32)
        for side, outwards in ((mesh.LEFT_SIDE, -1), (mesh.RIGHT_SIDE, 1)):
            apart = own - (landmarks[side, :2] + 0.5 * _EARRING[0] * outwards * across - _EARRING[2] * up)
            reach = (apart @ across / (across @ across) / _EARRING[0]) ** 2 + (
                apart @ up / (up @ up) / _EARRING[1]
            ) ** 2
            found = np.maximum(found, 1 - _step(reach, 0.7, 1.0))
        return found

    def _opened(self, alpha: FloatArray, strand: float) -> FloatArray:
        """Alpha without what is narrower than `strand`, a fraction of the shorter side."""
        whole = np.zeros(self._portrait.shape[:2], np.float32)
        whole[self._rows, self._columns] = alpha
        width = 2 * round(strand * self._side / 2) + 1
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
    outside = _outside(outwards, side)
    share = share * (1 + outside * (different - 1))
    belief = belief * (1 + outside * (plain - 1))
    odd = (
        plain
        * different
        * _step(misfit, *_ODD)
        * _step(np.sqrt(distance), *_BRIGHT)
        * (1 - _step(outwards / side, 0.6 * _NEAR, _NEAR))
    )
    return share, belief, odd


def _without_specks(alpha: Picture, width: float) -> Picture:
    """Alpha without single pieces that are no larger than a square of this width, px."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0).astype(np.uint8))
    kept = (stats[:, cv2.CC_STAT_AREA] > width**2).astype(np.uint8)
    return np.asarray(alpha * kept[labels], np.uint8)


def _grown(mask: Picture, by: int) -> Picture:
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1,) * 2)), np.uint8)


def _filled(picture: FloatArray, clear: FloatArray) -> FloatArray:
    """Fill what is not `clear`, smoothly; close to what is clear, the colours are those beside it, so that no edge is seen."""
    side = min(clear.shape)
    smooth = mean_around(picture, clear, _SOFT * side)
    away = cv2.distanceTransform((clear < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    near = on_colours(np.exp(-away / np.float32(_CONTINUED * side)))
    return np.asarray(spread(smooth, clear, _NEAREST) + near * spread(picture - smooth, clear, _NEAREST), np.float32)


def _outside(outwards: FloatArray, side: int) -> FloatArray:
    """0 inside the outline, 1 outside; without a step, which would be seen."""
    return np.asarray(np.minimum(outwards / (_EDGE * side), 1), np.float32)


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
