"""A painted patch into the picture: brought to the box's size, and mixed in by the mask, in the region alone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.musetalk.face_box import Box
from stages.musetalk.mask import Mask, Region

Picture = npt.NDArray[np.uint8]

#: Side of what the network sees and paints, px.
SIDE = 256


def crop_face(picture: Picture, box: Box) -> Picture:
    """What the network sees of the picture, [256, 256, 3]; the shape of the face is not kept."""
    x1, y1, x2, y2 = box
    return np.asarray(cv2.resize(picture[y1:y2, x1:x2], (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def to_box(patch: Picture, box: Box) -> Picture:
    """A patch at the size of its box."""
    return np.asarray(cv2.resize(patch, (box[2] - box[0], box[3] - box[1])), np.uint8)


def paste(picture: Picture, face: Picture, where: Region, mask: Mask | None = None) -> None:
    """Mix `face` (at the box's size) into `picture`, in place; nothing outside of the region is touched.

    `mask` takes the place of the region's own where the patch is to show less.
    """
    x1, y1, x2, y2 = where.roi
    target = picture[y1:y2, x1:x2]
    patch = np.zeros_like(target)
    left, top = where.box[0] - x1, where.box[1] - y1
    rows = slice(max(top, 0), min(top + face.shape[0], y2 - y1))
    columns = slice(max(left, 0), min(left + face.shape[1], x2 - x1))
    # The feather reaches a few pixels out of the box, where there is no patch: the picture itself stands there.
    patch[:] = target
    patch[rows, columns] = face[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    target[:] = mix(patch, target, where.mask if mask is None else mask)


def mix(over: Picture, under: Picture, mask: Mask) -> Picture:
    """`over` where the mask is 255, `under` where it is 0; rounded to the nearest, in whole numbers as Pillow does."""
    share = mask[..., None].astype(np.uint16)
    total = over * share + under * (255 - share) + np.uint16(128)  # at most 65,153
    return np.asarray(((total >> 8) + total) >> 8, np.uint8)
