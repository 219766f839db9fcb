"""Closes the crown where hair and background are alike, and colours leave bites in it.

Hair has strands, and a wall out of focus has none: fine detail as strong as the hair's shows how far hair reaches. What is still
missing is filled up to an arc around the head.
"""

from __future__ import annotations

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import SideColours, step
from stages.face.rig.matting.cut_out.colour_trust import colour_trust, light_alike, tint_alike
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.fill import spread
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.morphology import disc, opened
from stages.face.sampling import blur

#: Alpha of half a person, and half the width of locks that are no part of the head's arc, of the shorter side.
_HALF, _LOCK = 128, 0.012
#: Probabilities of a person between which bites begin to be hair.
_RATHER = 0.15, 0.3
#: How far above the sides of the face ears may reach, in its height: there the outline has no arc.
_EARS = 0.15
#: Sigma of the blur that leaves strands out, and of that which averages their strength; of the shorter side.
_FINE, _AVERAGED = 0.004, 0.003
#: How many times as strong as the wall's detail the hair's is at least; and the part of the way from the wall's to the hair's
#: from which detail begins to be hair's, and is.
_TIMES, _HAIRLIKE = 2.0, (0.5, 0.8)
#: Half the width of gaps between strands that belong to the hair, of the shorter side.
_GAP = 0.006
#: How far outside the hair its detail is still seen, of the shorter side.
_REACH = 0.01
#: Half the width of hair that is missing at least, and of a bite at least; of the shorter side.
_MISSING, _DEEP = 0.016, 0.004
#: Sigma of the blur of the arc's edge, of the shorter side.
_SOFT = 0.003
#: Directions in which the arc's radius is measured, how many a bite takes up at most, sigma of the radius' blur, and over how
#: many beside a bite the arc begins.
_DIRECTIONS, _BITE, _ROUND, _AROUND = 180, 46, 2.5, 16
#: Height over which both begin above the ears, in that of the face.
_BEGIN = 0.12


def close_crown(cut: Picture, pixels: DoubtfulPixels, own: SideColours, landmarks: FloatArray) -> Picture:
    """Alpha without bites in the upper arc of the head, where hair and background are alike, uint8 [height, width].

    Args:
        cut: alpha by the colours, uint8 [height, width].
        pixels: of the portrait.
        own: colours at these pixels.
        landmarks: [478, 3] px.
    """
    sides = landmarks[[mesh.LEFT_SIDE, mesh.RIGHT_SIDE], :2]
    end = round(float(sides[:, 1].min() - _EARS * np.ptp(landmarks[:, 1])))
    if own.hair is None or end <= 0:  # a picture that is cut below the crown has none
        return cut
    alike = step(pixels.at(pixels.regions.probability), *_RATHER) * light_alike(own.wall.mean, own.hair[0])
    both = np.zeros((*cut.shape, 2), np.float32)
    unclear = alike * (1 - colour_trust(own)) * tint_alike(own.wall.mean, own.hair[0])
    both[pixels.rows, pixels.columns] = np.stack([alike, unclear], axis=-1)
    begin = _BEGIN * float(np.ptp(landmarks[:, 1]))
    above = np.clip((end - np.arange(end, dtype=np.float32)) / begin, 0, 1)
    alike, unclear = cv2.split(both[:end] * above[:, None, None])
    if not alike.any():
        return cut
    crown = cut[:end]
    if unclear.any():
        crown = _raised(crown, _haired(pixels, crown, end) * unclear)
        crown = _raised(crown, _within_arc(crown, float(sides[:, 0].mean()), pixels.side) * unclear)
    whole = cut.copy()
    whole[:end] = _raised(crown, _within_hull(crown, sides, pixels.side) * alike)
    return whole


def _raised(alpha: Picture, least: FloatArray) -> Picture:
    """Alpha, uint8, that is at least so much, 0 to 1."""
    return np.maximum(alpha, np.round(255 * least).astype(np.uint8))


def _within_hull(crown: Picture, sides: FloatArray, side: int) -> FloatArray:
    """Where the smallest shape without bites is that holds the head and the `sides` of the face, 0 to 1, as large as `crown`."""
    hull = np.zeros(crown.shape, np.uint8)
    points = cv2.findNonZero(opened(crown > _HALF, _LOCK * side))
    if points is not None:
        points = np.concatenate([points[:, 0], np.round(sides).astype(np.int32)])
        cv2.fillConvexPoly(hull, cv2.convexHull(points), (255,))
    return blur(hull, max(_SOFT * side, 0.5)).astype(np.float32) / 255


def _haired(pixels: DoubtfulPixels, crown: Picture, end: int) -> FloatArray:
    """Where the picture above row `end` has detail as fine and as strong as the hair's, 0 to 1, [end, width]."""
    side, regions = pixels.side, pixels.regions
    detail = _detail(pixels.portrait[:end], side)
    small = regions.person.shape
    rows = max(1, round(end * small[0] / len(pixels.portrait)))
    coarse = np.asarray(cv2.resize(detail, (small[1], rows), interpolation=cv2.INTER_AREA), np.float32)
    wall, sure = regions.background[:rows], regions.sure[:rows] * (1 - regions.certain[:rows])
    if not wall.any() or not sure.any():
        return np.zeros_like(detail)
    usual = cv2.resize(spread(coarse[..., None], wall)[..., 0], detail.shape[::-1], interpolation=cv2.INTER_LINEAR)
    hair = float(np.median(coarse[sure > 0]))
    apart = np.where(hair > _TIMES * usual, hair - usual, np.inf)
    there = np.maximum(step((detail - usual) / apart, *_HAIRLIKE), crown.astype(np.float32) / 255)
    closed = _beyond_border(there, _GAP * side, cv2.MORPH_CLOSE)
    # Detail is seen as far outside the hair as it is averaged; what is as narrow is no hair that is missing.
    closed = _beyond_border(closed, _REACH * side, cv2.MORPH_ERODE)
    missing = opened((closed > 0.5) & (crown < _HALF), _MISSING * side)
    around = cv2.dilate(missing, disc(_MISSING * side))
    return blur(np.asarray(closed * around, np.float32), max(_SOFT * side, 0.5))


def _beyond_border(mask: FloatArray, radius: float, kind: int) -> FloatArray:
    """Close or erode by a disc, as if the picture went on beyond its border."""
    reach = 2 * max(1, round(radius))
    longer = cv2.copyMakeBorder(mask, *(reach,) * 4, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.morphologyEx(longer, kind, disc(radius))[reach:-reach, reach:-reach], np.float32)


def _detail(picture: Picture, side: int) -> FloatArray:
    """How strong the picture's fine detail is around each pixel, [height, width]; in the dark, it counts more, as it is seen."""
    luma = np.sqrt(255 * cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32))
    fine = luma - blur(luma, max(_FINE * side, 1.0))
    return np.asarray(np.sqrt(blur(fine * fine, max(_AVERAGED * side, 1.0))), np.float32)


def _within_arc(crown: Picture, middle: float, side: int) -> FloatArray:
    """Where the arc around a head with this outline is, 0 to 1, as large as `crown`; it begins at the last row, on both sides of
    column `middle`.
    """
    head = opened(crown > _HALF, _LOCK * side)
    y, x = np.mgrid[: crown.shape[0], : crown.shape[1]].astype(np.float32)
    across, up = x - np.float32(middle), crown.shape[0] - y
    direction, distance = (np.arctan2(across, up) / np.pi + 0.5) * _DIRECTIONS, np.hypot(across, up)
    farthest = np.zeros(_DIRECTIONS + 1, np.float32)
    np.maximum.at(farthest, np.round(direction[head > 0]).astype(np.intp), distance[head > 0])
    there = np.flatnonzero(farthest)
    if not len(there):
        return np.zeros(crown.shape, np.float32)
    measured = np.interp(np.arange(len(farthest)), there, farthest[there]).astype(np.float32)
    # A straight outline has no bites, but the hair's own shape.
    hull = np.zeros_like(head)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(head)), (1,))
    bites = opened(hull > head, _DEEP * side)
    bitten = np.zeros((1, len(farthest)), np.uint8)
    bitten[0, np.round(direction[bites > 0]).astype(np.intp)] = 1
    near = cv2.morphologyEx(bitten, cv2.MORPH_CLOSE, np.ones((1, _BITE // 2), np.uint8))
    near = cv2.dilate(near, np.ones((1, 2 * _AROUND + 1), np.uint8))
    weight = blur(near.astype(np.float32), _AROUND / 3)[0]
    arc = measured + weight * (blur(_without_bites(measured)[None], _ROUND)[0] - measured)
    arc[: there[0]] = arc[there[-1] + 1 :] = 0
    radius = np.interp(direction, np.arange(len(farthest)), arc)
    return np.asarray(np.clip(0.5 + (radius - distance) / (4 * max(_SOFT * side, 0.5)), 0, 1), np.float32)


def _without_bites(radius: FloatArray) -> FloatArray:
    """Let the radius, in each direction, go evenly from one side of a bite to the other: neither straight nor with a corner."""
    whole = radius.copy()
    for width in range(2, _BITE + 1):
        left, right = radius[:-width], radius[width:]
        for step_in in range(1, width):
            inner = whole[step_in : step_in + len(left)]
            np.maximum(inner, left + (right - left) * np.float32(step_in / width), out=inner)
    return whole
