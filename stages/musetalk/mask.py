"""Computes the visible part of the painted patch: labels of the face's parts, and a soft mask made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.face import mesh
from stages.musetalk.face_box import Box

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
MaskMode = Literal["raw", "neck", "jaw"]

#: Side of a label map, px, and the classes used here. Source: CelebAMask-HQ's 19 classes
SIDE = 512
SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP, NECK = 1, 10, 11, 12, 13, 14
#: Ratio of the crop square's side to the face box's.
_EXPAND = 1.5
#: Blur of the mask's edge, as a fraction of the square's side. The public offline script's; the realtime script has 0.10.
FEATHER = 0.05
#: Half width of the map's middle part, in which the jaw is not narrowed, px. v1.5's value; v1.0 had 80.
CHEEK = 90
#: Mesh points around the lower nose, which the painted patch must not cover.
_NOSE = (168, 122, 196, 236, 198, 209, 49, 48, 64, 98, 97, 2, 326, 327, 294, 278, 279, 429, 420, 456, 419, 351)


def crop_square(box: Box) -> Box:
    """Compute the crop square (x1, y1, x2, y2) around a face's box; it may extend beyond the picture."""
    x1, y1, x2, y2 = box
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    half = int(max(x2 - x1, y2 - y1) // 2 * _EXPAND)
    return x - half, y - half, x + half, y + half


def landmark_labels(landmarks: FloatArray, square: Box) -> Labels:
    """Make the label map of a crop square, uint8 [512, 512], from mediapipe's landmarks instead of a face-parsing network."""
    scale = SIDE / (square[2] - square[0])
    places = (landmarks[:, :2] - np.array(square[:2], np.float32) + 0.5) * scale - 0.5
    labels = np.zeros((SIDE, SIDE), np.uint8)
    lips = (*mesh.UPPER_LIP_OUTER, *mesh.LOWER_LIP_OUTER[-2:0:-1])
    for points, label in ((mesh.OVAL, SKIN), (_NOSE, NOSE), (lips, UPPER_LIP)):
        # Four fractional bits keep the outline's position between pixels.
        outline = np.round(places[list(points)] * 16).astype(np.int32)
        cv2.fillPoly(labels, [outline], (label,), lineType=cv2.LINE_8, shift=4)
    return labels


def painted_part(labels: Labels, mode: MaskMode = "jaw", cheek: int = CHEEK) -> Mask:
    """Select the painted part of a label map, 0 or 255, [512, 512].

    Args:
        labels: [512, 512].
        mode: "raw" selects skin and mouth, "neck" also the neck. "jaw" extends the skin a little down and to the sides, so
            that the old outline of the chin is covered when it moves, narrows it at the cheeks, and excludes the nose.
        cheek: half width of the part that is not narrowed, px.
    """
    if mode != "jaw":
        classes = [SKIN, MOUTH, UPPER_LIP, LOWER_LIP, *([NECK] if mode == "neck" else [])]
        return np.where(np.isin(labels, classes), 255, 0).astype(np.uint8)
    skin = np.where(labels == SKIN, 255, 0).astype(np.uint8)
    wide = cv2.dilate(skin, _chin_kernel(), iterations=1)
    narrow = cv2.erode(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3)), iterations=2)
    mask = np.asarray(wide, np.uint8).copy()
    middle = SIDE // 2
    for side in (slice(0, middle - cheek + 1), slice(middle + cheek, SIDE)):
        mask[:, side] = narrow[:, side]
    mask[labels == NOSE] = 0
    mask[np.isin(labels, [MOUTH, UPPER_LIP, LOWER_LIP])] = 255
    return mask


def _chin_kernel() -> Mask:
    """A kernel of 33 × 33: a triangle in rows 10 to 20 that widens to 21 px, and a bar of that width down to the last row."""
    kernel = np.zeros((33, 33), np.uint8)
    for row in range(10, 33):
        half = min(row - 10, 10)
        kernel[row, 16 - half : 16 + half + 1] = 1
    return kernel


@dataclass(frozen=True)
class MaskRegion:
    """The region of the picture in which the patch is visible.

    Attributes:
        box: the face's box, px.
        roi: (x1, y1, x2, y2), the area inside the picture in which the mask is not 0, px.
        mask: uint8 [height, width] of the roi, 0 to 255.
    """

    box: Box
    roi: Box
    mask: Mask


def soft_mask(part: Mask, box: Box, feather: float = FEATHER) -> Mask:
    """Make the mask of the crop square: `part` scaled to its size, cut to the box and to the lower half, with a soft edge."""
    left, top, right, _ = crop_square(box)
    side = right - left
    # Pillow's bicubic interpolation, as in the reference; OpenCV's gives other values.
    whole = np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))
    mask = np.zeros((side, side), np.uint8)
    inner = slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)
    mask[inner] = whole[inner]
    mask[: int(side * 0.5)] = 0
    kernel = int(feather * side // 2 * 2) + 1
    return np.asarray(cv2.GaussianBlur(mask, (kernel, kernel), 0), np.uint8)


def cut_region(mask: Mask, box: Box, size: tuple[int, int]) -> MaskRegion:
    """Cut a crop square's mask to its part that is not 0 and inside a picture of `size` (width, height)."""
    left, top, _, _ = crop_square(box)
    first_x, first_y = max(-left, 0), max(-top, 0)
    inside = mask[first_y : max(size[1] - top, 0), first_x : max(size[0] - left, 0)]
    x, y, width, height = cv2.boundingRect(inside)
    roi = left + first_x + x, top + first_y + y, left + first_x + x + width, top + first_y + y + height
    return MaskRegion(box, roi, np.ascontiguousarray(inside[y : y + height, x : x + width]))
