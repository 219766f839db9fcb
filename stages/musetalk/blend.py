"""Pastes a painted patch into the picture: scales it to the box and mixes it in by the mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.musetalk.face_box import Box
from stages.musetalk.mask import Mask, MaskRegion

Picture = npt.NDArray[np.uint8]

#: Side of the network's input and output pictures, px.
SIDE = 256


def crop_face(picture: Picture, box: Box) -> Picture:
    """Cut the box out of the picture and scale it to the network's input, uint8 [256, 256, 3], without keeping its aspect."""
    x1, y1, x2, y2 = box
    return np.asarray(cv2.resize(picture[y1:y2, x1:x2], (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def resize_to_box(patch: Picture, box: Box) -> Picture:
    """Scale a patch to the size of its box."""
    return np.asarray(cv2.resize(patch, (box[2] - box[0], box[3] - box[1])), np.uint8)


def paste_patch(picture: Picture, face: Picture, where: MaskRegion, mask: Mask | None = None) -> None:
    """Mix a patch into a picture in place; pixels outside the region stay as they are.

    Args:
        picture: uint8 [height, width, 3].
        face: the patch at the size of the box.
        where: box, region and mask.
        mask: replaces the region's mask, to make the patch partly transparent.
    """
    x1, y1, x2, y2 = where.roi
    target = picture[y1:y2, x1:x2]
    patch = np.zeros_like(target)
    left, top = where.box[0] - x1, where.box[1] - y1
    rows = slice(max(top, 0), min(top + face.shape[0], y2 - y1))
    columns = slice(max(left, 0), min(left + face.shape[1], x2 - x1))
    # The mask's soft edge extends a few pixels beyond the box, where there is no patch: use the picture's own pixels there.
    patch[:] = target
    patch[rows, columns] = face[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    target[:] = mix_by_mask(patch, target, where.mask if mask is None else mask)


def mix_by_mask(over: Picture, under: Picture, mask: Mask) -> Picture:
    """Mix two pictures: `over` where the mask is 255, `under` where it is 0; integer arithmetic, rounded as in Pillow."""
    share = mask[..., None].astype(np.uint16)
    total = over * share + under * (255 - share) + np.uint16(128)  # at most 65,153
    return np.asarray(((total >> 8) + total) >> 8, np.uint8)
