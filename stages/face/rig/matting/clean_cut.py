"""Cleans the person's outline for another background, where the colours of the person and the background are alike.

There the colours leave scraps of the background beside the person and bites in it, and before another background both are seen.
A smooth line near the segmentation's outline takes their place. Where the colours differ, strands stay.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import NOISE, SideColours, outside_share, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.morphology import opened
from stages.face.rig.matting.outline import among_hair
from stages.face.sampling import blur

Mask = npt.NDArray[np.bool_]

#: Squared distance of the background's colour from the person's and from the hair's, in their variances, between which they begin
#: to be trusted.
_PERSON_APART, _HAIR_APART = (3.0, 12.0), (6.0, 20.0)
#: Squared distance of the hair's colour from the forehead's, levels: below it, the head is bald there.
_BALD = 40.0**2
#: Deviation of the background's colour, in 8-bit levels, between which nothing outside the outline is told from it.
_BUSY = 8.0, 20.0
#: How much brighter than the background the person is, 8-bit levels, where gaps begin to be shade, and are all.
_BRIGHTER = 10.0, 40.0
#: How far inside and outside of the segmentation's outline the smooth line may go, and over which distance it is soft; of the
#: shorter side.
_WITHIN, _BEYOND, _SOFT = 0.004, 0.006, 0.006
#: Sigma of the blur that takes spikes and bites off the segmentation's outline, of the shorter side; and the squared distance
#: from the background's colour and the hair's, in their variance, between which something is no spike, and the most variance that
#: hair may have there: its lights are as bright as skin.
_LUMP, _OTHER, _VARYING = 0.012, (4.0, 16.0), 300.0
#: Width of the pieces and bites that a smooth line does not follow, and sigma of its blur; of the shorter side.
_SMOOTHED, _BLUR = 0.03, 0.003
#: Trust in the colours, and deviation of the background's in 8-bit levels, from and up to which strands apart from the rest, half
#: transparent parts and gaps are certain.
_CERTAIN, _PLAIN = 0.6, 5.0
#: Half the width of the square in which a stain is even, of the shorter side; how much alpha differs within it at most and for no
#: stain at all; and shares of the person that count as nothing there, and as all.
_STAIN, _EVEN, _THERE = 0.005, (0.5, 0.9), (0.3, 0.7)
#: Alpha from which a piece of the person is one, and how far from it its soft edge reaches, of the shorter side.
_PIECE, _EDGE = 40, 0.008
#: Alpha from which a piece apart from the person may be a strand; its length at least, its width at most, and the most width of
#: gaps between it and the person or the next strand, of the shorter side; and the part of it that may be wider. Other pieces are
#: the background's own: specks, flowers.
_SEEN, _LONG, _THIN, _GAP, _WIDER = 16, 0.012, 0.008, 0.016, 0.3
#: Mean alpha up to which such a piece is the background's own, too.
_FAINT = 50
#: Alpha below which an enclosed hole is one, and up to which width it is closed, of the shorter side.
_HOLE, _WIDEST = 215, 0.02

#: Alpha of half a person, and half the width of locks that are no part of the head's arc, of the shorter side.
_HALF, _LOCK = 128, 0.012
#: Luma and both chroma differences of RGB, as in JPEG; how far light and chroma of the background are from the hair's, between
#: which bites begin to be the background; and probabilities of a person between which they begin to be hair.
_LUMA_CHROMA = (0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081)
_LIGHT, _TINT, _RATHER = (75.0, 95.0), (25.0, 40.0), (0.15, 0.3)
#: How far above the sides of the face ears may reach, in its height: there the outline has no arc.
_EARS = 0.15
#: Probability of a person from which and up to which a pixel may be either; mean width of such pixels along the outline from
#: which it is a guess, in widths of the face; and the least length of an outline, of the shorter side.
_EITHER, _GUESSED, _SHORTEST = 0.15, 0.033, 0.1


def clean_cut(
    alpha: Picture,
    pixels: DoubtfulPixels,
    own: SideColours,
    inwards: FloatArray,
    forehead: FloatArray,
    landmarks: FloatArray,
) -> Picture:
    """The person's alpha for another background, uint8 [height, width].

    Args:
        alpha: by the colours, uint8 [height, width].
        pixels: of the portrait.
        own: colours at these pixels.
        inwards: how far inside the outline they are (`deepness`), [n].
        forehead: its colour, RGB [3].
        landmarks: [478, 3] px.
    """
    regions, side = pixels.regions, pixels.side
    where = pixels.rows, pixels.columns
    to_side = 1 / min(regions.person.shape)
    inwards = inwards - pixels.at(regions.outwards) * np.float32(to_side)
    if own.hair is not None and float(((own.hair[0] - forehead) ** 2).sum()) < _BALD:
        own = SideColours(own.person, own.wall, None)
    deviation = np.sqrt(own.wall.variance / 3)
    outside = outside_share(np.maximum(-inwards, 0) * np.float32(side), side)
    trusted = _trusted(own) * (1 - outside * step(deviation, *_BUSY))
    # A median follows the edges that the colours show, but no scraps and no bites.
    width = 2 * round(_SMOOTHED * side / 2) + 1
    smooth = blur(cv2.medianBlur(alpha, min(width, 255)), max(_BLUR * side, 0.5))[where].astype(np.float32) / 255
    least = np.clip(0.5 + (inwards - _WITHIN) / _SOFT, 0, 1)
    even = inwards + _evened(pixels, own) * np.float32(to_side)
    smooth = np.clip(smooth, *(np.clip(0.5 + (even + by) / _SOFT, 0, 1) for by in (-_WITHIN, _BEYOND)))
    # Gaps are between strands of hair only: skin and cloth are whole. Before a darker wall, hair in shade looks like a gap.
    brighter = (own.person.mean - own.wall.mean).mean(axis=0)
    bare = np.maximum(1 - among_hair(own), step(brighter, *_BRIGHTER))
    level = alpha[where].astype(np.float32) / 255
    level = np.maximum(level, bare * least)
    cut = alpha.copy()
    cut[where] = np.round(255 * (smooth + trusted * (level - smooth)))
    certain = np.zeros(cut.shape, bool)
    certain[where] = (trusted > _CERTAIN) & (deviation < _PLAIN)
    whole = in_one_piece(_without_stains(cut, certain, side), certain, side)
    return _with_closed_crown(whole, pixels, own, landmarks)


def _with_closed_crown(cut: Picture, pixels: DoubtfulPixels, own: SideColours, landmarks: FloatArray) -> Picture:
    """Alpha without bites in the upper arc of the head: where hair and background are alike, a crown is rather round."""
    if own.hair is None:
        return cut
    side, where = pixels.side, (pixels.rows, pixels.columns)
    sides = landmarks[[mesh.LEFT_SIDE, mesh.RIGHT_SIDE], :2]
    head = opened(cut > _HALF, _LOCK * side)
    head[max(round(float(sides[:, 1].min() - _EARS * np.ptp(landmarks[:, 1]))), 0) :] = 0
    above = cv2.findNonZero(head)
    if above is None:
        return cut
    # From the hair above the ears the arc goes on to the sides of the face.
    points = np.concatenate([above[:, 0], np.round(sides).astype(np.int32)])
    hull = np.zeros_like(head)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), (255,))
    closed = blur(hull, max(_BLUR * side, 0.5))[where].astype(np.float32) * _alike(own.wall.mean, own.hair[0])
    closed *= step(pixels.at(pixels.regions.probability), *_RATHER)
    whole = cut.copy()
    whole[where] = np.maximum(cut[where], np.round(closed).astype(np.uint8))
    return whole


def _alike(walls: FloatArray, hair: FloatArray) -> FloatArray:
    """Whether light on the hair could have the colour of the background, [3, n]: 0 to 1, [n]."""
    apart = np.array(_LUMA_CHROMA, np.float32) @ (walls - hair[:, None])
    return (1 - step(np.abs(apart[0]), *_LIGHT)) * (1 - step(np.hypot(apart[1], apart[2]), *_TINT))


def is_guessed(pixels: DoubtfulPixels, own: SideColours, landmarks: FloatArray) -> bool:
    """Whether much of the outline is a guess: neither the segmentation nor the colours tell the person from the background."""
    return _guessed_width(pixels, own) > _GUESSED * float(np.ptp(landmarks[list(mesh.OVAL), 0]))


def _guessed_width(pixels: DoubtfulPixels, own: SideColours) -> float:
    """Mean width along the outline of what may be either, px."""
    alike = 1 - _trusted(own)
    if own.hair is not None:
        alike = np.maximum(alike, _alike(own.wall.mean, own.hair[0]))
    probability = pixels.at(pixels.regions.probability)
    either = alike * ((probability > _EITHER) & (probability < 1 - _EITHER))
    person = pixels.regions.person
    outline = (cv2.dilate(person, np.ones((3, 3), np.uint8)) > person)[1:-1, 1:-1]
    length = float(outline.sum()) * pixels.side / min(person.shape)
    return float(either.sum()) / max(length, _SHORTEST * pixels.side)


def _evened(pixels: DoubtfulPixels, own: SideColours) -> FloatArray:
    """How much farther inside each doubtful pixel is, px of the small picture, if the outline had no spikes and bites, [n].

    What differs from the background and from the hair is no spike: it may be an ear.
    """
    inside = pixels.regions.inwards - pixels.regions.outwards
    moved = pixels.at(np.asarray(blur(inside, _LUMP * min(inside.shape)) - inside, np.float32))
    apart = ((pixels.own - own.wall.mean) ** 2).sum(axis=0) / (own.wall.variance + NOISE)
    if own.hair is not None:
        varying = min(own.hair[1], _VARYING) + NOISE
        apart = np.minimum(apart, ((pixels.own - own.hair[0][:, None]) ** 2).sum(axis=0) / varying)
    return np.asarray(np.where(moved < 0, moved * (1 - step(apart, *_OTHER)), moved), np.float32)


def _trusted(own: SideColours) -> FloatArray:
    """How far the colours tell the person from the background at the doubtful pixels, 0 to 1, [n]."""
    person, wall, hair = own.person, own.wall, own.hair
    apart = ((person.mean - wall.mean) ** 2).sum(axis=0) / (person.variance + wall.variance + 2 * NOISE)
    trusted = step(apart, *_PERSON_APART)
    if hair is not None:
        apart = ((hair[0][:, None] - wall.mean) ** 2).sum(axis=0) / (hair[1] + wall.variance + 2 * NOISE)
        trusted = np.maximum(trusted, step(apart, *_HAIR_APART))
    return trusted


def _without_stains(cut: Picture, certain: Mask, side: int) -> Picture:
    """Alpha where no wide part that is not `certain` is half transparent, which would be a stain; edges stay soft."""
    kernel = np.ones((2 * max(1, round(_STAIN * side)) + 1,) * 2, np.uint8)
    slope = cv2.subtract(cv2.dilate(cut, kernel), cv2.erode(cut, kernel)).astype(np.float32) / 255
    even = (1 - step(slope, *_EVEN)) * ~certain
    level = cut.astype(np.float32) / 255
    level += even * (step(level, *_THERE) - level)
    return np.asarray(np.round(255 * level), np.uint8)


def in_one_piece(cut: Picture, certain: Mask, side: int) -> Picture:
    """Alpha without pieces apart from the largest, faint ones too, and without small holes.

    Of what is `certain`, strands that go on from the person across small gaps stay, and holes.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((cut > _PIECE).astype(np.uint8))
    if count < 2:
        return cut
    largest = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    reach = max(1, round(_EDGE * side))
    around = cv2.dilate(largest, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    apart = (around == 0) | ((cut > _PIECE) & (largest == 0))
    whole = np.where(apart & ~_strands(cut, largest, certain, side), 0, cut).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((whole < _HOLE).astype(np.uint8), connectivity=4)
    left, top, across, down, area = stats.T
    height, width = cut.shape
    closed = (left > 0) & (top > 0) & (left + across < width) & (top + down < height) & (area < (_WIDEST * side) ** 2)
    closed[0] = False
    whole[closed[labels] & ~certain] = 255
    return whole


def _strands(cut: Picture, largest: Picture, certain: Mask, side: int) -> Mask:
    """The strands that are `certain` and go on from the largest piece across small gaps, with their faint edges."""
    seen = ((cut > _SEEN) & (largest == 0)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seen)
    wide = cv2.morphologyEx(seen, cv2.MORPH_OPEN, np.ones((max(3, round(_THIN * side)),) * 2, np.uint8))
    wider = np.bincount(labels[wide > 0], minlength=count)
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    area = stats[:, cv2.CC_STAT_AREA]
    there = np.bincount(labels.ravel(), cut.ravel(), minlength=count) / np.maximum(area, 1)
    strand = (length > _LONG * side) & (wider < _WIDER * area) & (there > _FAINT)
    strand[0] = False
    pieces = (strand[labels] & certain) | (largest > 0)
    reach = max(1, round(_GAP * side / 2))
    near = cv2.dilate(pieces.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    _, bridged = cv2.connectedComponents(near)
    kept = ((bridged == bridged[largest > 0][0]) & pieces).astype(np.uint8)
    return np.asarray((cv2.dilate(kept, np.ones((3, 3), np.uint8)) > 0) & certain)
