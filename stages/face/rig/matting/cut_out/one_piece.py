"""Leaves out what is apart from the person, half transparent stains, and small holes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.matting.colour_mixture import step
from stages.face.rig.matting.matte import Picture

Mask = npt.NDArray[np.bool_]

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


def without_stains(cut: Picture, certain: Mask, side: int) -> Picture:
    """Alpha where no wide part that is not `certain` is half transparent, which would be a stain; edges stay soft."""
    kernel = np.ones((2 * max(1, round(_STAIN * side)) + 1,) * 2, np.uint8)
    slope = cv2.subtract(cv2.dilate(cut, kernel), cv2.erode(cut, kernel)).astype(np.float32) / 255
    even = (1 - step(slope, *_EVEN)) * ~certain
    level = cut.astype(np.float32) / 255
    level += even * (step(level, *_THERE) - level)
    return np.asarray(np.round(255 * level), np.uint8)


def in_one_piece(cut: Picture, certain: Mask, side: int, shoulders: int | None = None) -> Picture:
    """Alpha without pieces apart from the largest, faint ones too, and without small holes.

    Of what is `certain`, strands that go on from the person across small gaps stay, and holes. Below the row `shoulders`, if
    given, what is apart is no hair, but something beside clothes, such as a painter's stroke.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((cut > _PIECE).astype(np.uint8))
    if count < 2:
        return cut
    largest = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    reach = max(1, round(_EDGE * side))
    around = cv2.dilate(largest, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    apart = (around == 0) | ((cut > _PIECE) & (largest == 0))
    strands = _strands(cut, largest, certain, side)
    if shoulders is not None:
        strands[max(shoulders, 0) :] = False
    whole = np.where(apart & ~strands, 0, cut).astype(np.uint8)
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
