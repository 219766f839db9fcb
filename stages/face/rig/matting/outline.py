"""Finds the person's outline, a soft matte: the segmentation is coarse and knows no hair; near its edge the colours decide."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import BRIGHTER, NOISE, SideColours, mixture, outside_share, project, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.matte import Picture

#: Width of a strand of hair at most, of the shorter side.
_STRAND = 0.014
#: The distance from the outline between which darker things end to be looked for, of the shorter side.
_DARK = 0.018, 0.03
#: Half the width and height of the place beside an ear where such things are, and how far its middle is below the mesh's side, in
#: widths and heights of the face. The width from which they are one, of the shorter side: along a sharpened outline, the
#: background has a thin bright line.
_EARRING, _THIN = (0.22, 0.42, 0.3), 0.004
#: Width of darker strands at most that another background gets, of the shorter side, and deviation of the background's colour,
#: in 8-bit levels, between which they end to be told from it.
_THREAD, _PLAIN = 0.006, (2.5, 5.0)
#: Shares of the person in wide areas outside the outline that count as nothing, and as all: a shadow on the wall is no hair.
_SHADOW = 0.3, 0.7
#: Times that a strand is as strong as the shadow around it, between which it ceases to be the wall's grain; probabilities of a
#: person from which grain begins to be hair, and is; and the least strength that counts as a shadow's.
_GRAIN, _NOBODY, _FAINTEST = (1.5, 3.0), (0.02, 0.1), 0.12
#: Distance inside the outline where gaps between strands end to be believed, and are not at all; of the shorter side.
_INSIDE = 0.008, 0.02
#: Distance inside the outline between which half transparent parts end to be believed (they are shading; gaps between strands
#: show the background whole), and the shares that then count as nothing and as all.
_SHADED, _GAP = (0.002, 0.008), (0.1, 0.6)
#: How much deeper gaps are believed between strands of hair, of the shorter side, and the squared distance from the hair's
#: colour, in its variance, between which the person ends to be hair.
_DEEPER, _HAIR = 0.006, (2.0, 6.0)
#: Distance from mixtures of the hair and a brighter wall, in variances, between which a colour ends to be one.
_BETWEEN = 4.0, 12.0
#: Distance from what is unsure below which a pixel is, px of the small picture.
_ONE = 0.5
#: Width of single specks that are noise of the background; of the shorter side.
_SPECK = 0.006
#: Alpha below this becomes 0, and above 255 less this becomes 255.
_FAINT = 12
#: Radius and regularisation of the guided filter, in px of the small picture and squared levels.
_RADIUS, _STRICT = 3, 30.0


def find_outline(
    pixels: DoubtfulPixels,
    small: SideColours,
    own: SideColours,
    inside: tuple[FloatArray, FloatArray],
    landmarks: FloatArray,
) -> tuple[Picture, Picture]:
    """The person's alpha, uint8 [height, width], and the same without dark things that have no colour of the person or the hair.

    Args:
        pixels: of the portrait.
        small, own: colours at all pixels of the small picture, and at the doubtful pixels of the portrait.
        inside: how far inside the outline these pixels are, and where that is unsure (`deepness`).
        landmarks: [478, 3] px.
    """
    regions, (inwards, unsure) = pixels.regions, inside
    coarse = _coarse(pixels, small)
    outwards = pixels.at(regions.outwards) * np.float32(pixels.side / min(regions.person.shape))
    share, belief, odd = mixture(
        pixels.own,
        own,
        (outwards, pixels.at(regions.probability), unsure),
        pixels.side,
    )
    guide = pixels.at(coarse)
    expected = np.clip((guide[:3] * pixels.own).sum(axis=0) + guide[3], 0, 1)
    alpha = expected + belief * (share - expected)
    # Outside the outline only strands are believed: wide areas that are a little darker are shadows.
    wide = pixels.opened(alpha, _STRAND)
    outside, strands = outside_share(outwards, pixels.side), alpha - wide
    alpha += outside * (step(wide, *_SHADOW) - wide)
    # What is hardly darker than a shadow around it is the wall's grain there.
    grain = outside * strands * (1 - step(wide, *_SHADOW)) * (1 - step(strands / (wide + _FAINTEST), *_GRAIN))
    grain *= 1 - step(pixels.at(regions.probability), *_NOBODY)
    # What is darker than the wall is most often hair; what is brighter is an earring, if it hangs where earrings do.
    dark = pixels.own.sum(axis=0) < own.wall.mean.sum(axis=0)
    darker = odd * dark * (1 - step(outwards / pixels.side, *_DARK))
    odd *= _beside_ears(pixels, landmarks) * ~dark
    if odd.any():
        alpha = np.maximum(alpha, find_things(pixels, odd))
    # The farther inside, the less a colour like the background's is believed to be the background.
    hairy = among_hair(own)
    shaded = step(inwards, *_SHADED) * (1 - hairy)
    alpha += shaded * (np.maximum(step(alpha, *_GAP), alpha) - alpha)
    alpha = np.maximum(alpha, step(inwards - _DEEPER * hairy, *_INSIDE))
    threads = (darker - pixels.opened(darker, _THREAD)) * (1 - step(np.sqrt(own.wall.variance / 3), *_PLAIN))
    return _levels(pixels, np.maximum(alpha, darker)), _levels(pixels, np.maximum(alpha - grain, threads))


def find_things(pixels: DoubtfulPixels, odd: FloatArray) -> FloatArray:
    """How much an earring or the like is at the doubtful pixels, 0 to 1, [n]: wider than a thin line, larger than a speck."""
    where = pixels.rows, pixels.columns
    whole = np.zeros(pixels.portrait.shape[:2], np.uint8)
    whole[where] = np.round(255 * step(pixels.opened(odd, _THIN), *_GAP))
    return _without_specks(whole, _SPECK * pixels.side)[where].astype(np.float32) / 255


def _levels(pixels: DoubtfulPixels, alpha: FloatArray) -> Picture:
    """Alpha of the whole portrait, uint8 [height, width], by that of the doubtful pixels, 0 to 1, [n]."""
    sure, (height, width) = pixels.regions.sure, pixels.portrait.shape[:2]
    level = np.round(alpha * (255 + 2 * _FAINT) - _FAINT)
    level = np.where(pixels.at(sure) > 0.5, 255, np.clip(level, 0, 255))
    whole = cv2.resize(sure, (width, height), interpolation=cv2.INTER_NEAREST) * 255
    whole[pixels.rows, pixels.columns] = level
    return _without_specks(np.asarray(whole, np.uint8), _SPECK * pixels.side)


def _coarse(pixels: DoubtfulPixels, sides: SideColours) -> FloatArray:
    """Alpha of the small picture as a linear function of its colours around each pixel, [rows, columns, 4].

    `sides` are the colours at all its pixels.
    """
    regions = pixels.regions
    flat = np.ascontiguousarray(pixels.small.reshape(-1, 3).T)
    share, belief, _ = mixture(
        flat,
        sides,
        (regions.outwards.ravel(), regions.probability.ravel(), regions.unsure.ravel().astype(np.float32)),
        min(regions.person.shape),
    )
    shape = regions.person.shape
    alpha = regions.likely + belief.reshape(shape) * (share.reshape(shape) - regions.likely)
    alpha = np.where(regions.doubtful, alpha, regions.sure).astype(np.float32)
    return _guided(pixels.small, alpha)


def deepness(pixels: DoubtfulPixels, own: SideColours) -> tuple[FloatArray, FloatArray]:
    """How far inside the outline each doubtful pixel is, of the shorter side, and where the segmentation is unsure, 0 or 1, [n].

    Where it may be a brighter wall between hair, only as far as the segmentation is certain; else from its outline on.
    """
    regions, wall, hair = pixels.regions, own.wall, own.hair
    inwards, deep = pixels.at(np.dstack([regions.inwards, regions.deep]))
    farther = inwards - deep
    where = np.flatnonzero(farther > 0)
    if hair is not None and len(where):
        colour, mean = hair[0][:, None], wall.mean[:, where]
        _, belief, misfit = project(
            pixels.own[:, where] - mean, colour - mean, np.float32(hair[1]), wall.variance[where]
        )
        gap = belief * step((mean - colour).mean(axis=0), *BRIGHTER) * (1 - step(misfit, *_BETWEEN))
        inwards[where] -= gap * farther[where]
    return inwards / np.float32(min(regions.person.shape)), ((farther > 0) & (deep < _ONE)).astype(np.float32)


def among_hair(sides: SideColours) -> FloatArray:
    """1 where the person has the hair's colour, 0 elsewhere, at the doubtful pixels, [n]."""
    hair = sides.hair
    if hair is None:
        return np.zeros(sides.person.mean.shape[1], np.float32)
    apart = ((sides.person.mean - hair[0][:, None]) ** 2).sum(axis=0)
    return 1 - step(apart / (hair[1] + NOISE), *_HAIR)


def _beside_ears(pixels: DoubtfulPixels, landmarks: FloatArray) -> FloatArray:
    """1 where earrings hang and the temples of glasses are, 0 elsewhere, at the doubtful pixels, [n]."""
    up = landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]
    across = landmarks[mesh.RIGHT_SIDE, :2] - landmarks[mesh.LEFT_SIDE, :2]
    own = np.stack([pixels.columns, pixels.rows], axis=-1).astype(np.float32)
    found = np.zeros(len(own), np.float32)
    for side, outwards in ((mesh.LEFT_SIDE, -1), (mesh.RIGHT_SIDE, 1)):
        apart = own - (landmarks[side, :2] + 0.5 * _EARRING[0] * outwards * across - _EARRING[2] * up)
        reach = (apart @ across / (across @ across) / _EARRING[0]) ** 2 + (apart @ up / (up @ up) / _EARRING[1]) ** 2
        found = np.maximum(found, 1 - step(reach, 0.7, 1.0))
    return found


def _without_specks(alpha: Picture, width: float) -> Picture:
    """Alpha without single pieces that are no larger than a square of this width, px."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0).astype(np.uint8))
    kept = (stats[:, cv2.CC_STAT_AREA] > width**2).astype(np.uint8)
    return np.asarray(alpha * kept[labels], np.uint8)


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
