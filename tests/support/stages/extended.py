"""Made-up pictures that are extended: round persons before a wall."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.matting.matte import Matte, background_share

Picture = npt.NDArray[np.uint8]

#: Side of the pictures, px.
SIZE = 240


def disc(middle: tuple[float, float], radius: float, width: int, height: int, left: int, top: int) -> Picture:
    """The matte of a round person, of whom a picture of this size shows the part from (left, top) on."""
    y, x = np.mgrid[top : top + height, left : left + width]
    return np.asarray(np.clip(radius - np.hypot(x - middle[0], y - middle[1]) + 0.5, 0, 1) * 255, np.uint8)


def scene(matte: Picture) -> tuple[Picture, Matte]:
    """A picture of red person before a wall that becomes lighter from left to right."""
    wall = np.broadcast_to(np.linspace(60, 180, matte.shape[1])[None, :, None], (*matte.shape, 3)).astype(np.uint8)
    person = np.full_like(wall, (200, 40, 30))
    front = np.asarray(cv2.multiply(person, cv2.merge([matte] * 3), scale=1 / 255), np.uint8)
    return np.asarray(cv2.add(front, background_share(wall, matte)), np.uint8), Matte(matte, matte, wall)
