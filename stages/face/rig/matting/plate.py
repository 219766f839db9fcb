"""Fills the background behind the person, and adjusts both so that compositing them gives exactly the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import BUSY, NOISE, SideColours, pieces, project, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.fill import grain, mean_around, spread
from stages.face.rig.matting.matte import Matte, Picture
from stages.face.sampling import on_colours

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


def fill_behind(pixels: DoubtfulPixels, alpha: Picture, own: SideColours) -> Matte:
    """Fill the background, and adjust both parts so that compositing them gives exactly the picture.

    Args:
        pixels: of the portrait.
        alpha: of the person, uint8 [height, width].
        own: colours at these pixels.
    """
    portrait, regions, person, wall = pixels.portrait, pixels.regions, own.person, own.wall
    size = pixels.small.shape[1], pixels.small.shape[0]
    near, rim = _near_outline(pixels, alpha)
    fringe = np.concatenate(
        [_fringe(pixels.own[:, piece], own.of(piece), near[piece], rim[piece]) for piece in pieces(len(near))]
    )
    whole = alpha.copy()
    whole[pixels.rows, pixels.columns] = np.maximum(alpha[pixels.rows, pixels.columns], 255 * fringe)
    used = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    clear = (used < _CLEAR).astype(np.float32) * (1 - regions.sure)
    if not clear.any():
        clear = regions.background
    filled = _filled(pixels.small, clear)
    outside = alpha == 0
    grainy = grain(portrait, outside)
    plate = _enlarged(filled, grainy)
    np.copyto(plate, portrait, where=outside[..., None])
    share = alpha[pixels.rows, pixels.columns].astype(np.float32) / 255
    outwards = pixels.at(regions.outwards) / min(size)
    spreads = wall.variance / 3
    still = pixels.at(filled) + grainy[pixels.rows, pixels.columns] * (share > 0)
    rest = pixels.own - share * person.mean - (1 - share) * still
    weights = (1 - share) * (spreads + 4), share * (person.variance / 3 + NOISE)
    fitted = still + rest * (weights[0] / ((1 - share) * weights[0] + share * weights[1] + 1e-3))
    # In the fringe, and farther off if the background is plain, it stays as it was filled: what differs is the outline or a
    # strand, and moves with the person.
    free = np.maximum(step(np.sqrt(spreads), *BUSY), step(outwards, *_FAR))
    most = np.minimum(np.sqrt(spreads), _MOST) + 255 * free
    most = _LITTLE + (1 - fringe) * np.maximum(most, 255 * near)
    fitted = np.clip(fitted, still - most, still + most)
    lowest = np.clip(still - most, 0, 255)
    return _compose_exactly(portrait, alpha, plate, (pixels.rows, pixels.columns), fitted.T, lowest.T, regions.repaired)


def _enlarged(small: FloatArray, grainy: FloatArray) -> Picture:
    """Enlarge a small picture to the size of its grain, and add that: channel by channel, in a third of the memory."""
    channels = []
    for channel in cv2.split(small):
        fine = np.asarray(cv2.resize(channel, grainy.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        fine += grainy
        fine += np.float32(0.5)
        channels.append(np.clip(fine, 0, 255, out=fine).astype(np.uint8))
    return np.asarray(cv2.merge(channels), np.uint8)


def _near_outline(pixels: DoubtfulPixels, alpha: Picture) -> tuple[FloatArray, FloatArray]:
    """Where the outline's fringe may be, and its inner part, 0 or 1, at the doubtful pixels, [n]."""
    solid = (alpha > _FRINGED).astype(np.uint8)
    near, rim = (
        _grown(solid, max(least, round(reach * pixels.side)))[pixels.rows, pixels.columns].astype(np.float32)
        for least, reach in ((3, _FRINGE), (2, _RIM))
    )
    return near, rim


def _fringe(colours: FloatArray, own: SideColours, near: FloatArray, rim: FloatArray) -> FloatArray:
    """How much the outline's fringe is at doubtful pixels of these colours, 0 to 1, [n].

    In its inner part, `rim`, all belongs to it; where it may be, `near`, only what differs from the background towards the
    person's colour: anything else is the background's own.
    """
    person, wall, hair = own.person, own.wall, own.hair
    apart, fringe = colours - wall.mean, rim
    fronts: list[tuple[FloatArray, Any]] = [(person.mean, person.variance)]
    if hair is not None:
        fronts.append((hair[0][:, None], np.float32(hair[1])))
    for mean, variance in fronts:
        share, belief, misfit = project(apart, mean - wall.mean, variance, wall.variance)
        fringe = np.maximum(fringe, near * belief * (1 - step(misfit, *_UNLIKE)) * step(share, *_TOWARDS))
    return fringe


def _grown(mask: Picture, by: int) -> Picture:
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1,) * 2)), np.uint8)


def _filled(picture: FloatArray, clear: FloatArray) -> FloatArray:
    """Fill what is not `clear`, smoothly; close to what is clear, the colours are those beside it, so that no edge is seen."""
    side = min(clear.shape)
    smooth = mean_around(picture, clear, _SOFT * side)
    away = cv2.distanceTransform((clear < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    near = on_colours(np.exp(-away / np.float32(_CONTINUED * side)))
    return np.asarray(spread(smooth, clear, _NEAREST) + near * spread(picture - smooth, clear, _NEAREST), np.float32)


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
    raised = alpha.copy()
    for piece in pieces(len(fitted)):
        place = where[0][piece], where[1][piece]
        own = picture[place].astype(np.int32) * 255
        through = 255 - alpha[place].astype(np.int32)
        fitting = own // np.maximum(through, 1)[:, None]
        behind = np.minimum(np.clip(np.round(fitted[piece]), 0, 255).astype(np.int32), fitting)
        behind = np.maximum(behind, np.floor(lowest[piece]).astype(np.int32))
        most = np.where(behind > 0, own // np.maximum(behind, 1), 255).min(axis=-1)
        raised[place] = 255 - np.minimum(through, most)
        plate[place] = behind
    return Matte(raised, alpha, plate, repaired)
