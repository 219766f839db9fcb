"""Finds another person's skin: a face or a hand beside the head, which the segmentation takes as the person's own."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: How far beside the mesh of the face its own skin may be, in its width: ears, and the side of a turned head.
_OWN = 0.3
#: How much darker or brighter than the forehead another person's skin may be, and how far from its colour, 8-bit levels.
_LIGHT, _COLOUR = 90.0, 10.0


def find_bystanders(picture: Picture, landmarks: FloatArray, skin: FloatArray) -> Mask:
    """Where an RGB picture shows skin that is not that of the person, [height, width]: above the mouth, and apart from the face.

    Args:
        picture: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        skin: the forehead's colour, RGB [3].
    """
    oval = landmarks[list(mesh.OVAL), :2]
    left, right = float(oval[:, 0].min()), float(oval[:, 0].max())
    apart = np.ones(picture.shape[1], bool)
    own = _OWN * (right - left)
    apart[max(0, round(left - own)) : max(0, round(right + own))] = False
    above = np.arange(picture.shape[0]) < landmarks[list(mesh.UPPER_LIP_INNER), 1].min()
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    forehead = cv2.cvtColor(skin.reshape(1, 1, 3) / 255, cv2.COLOR_RGB2YCrCb)[0, 0] * 255
    light, red, blue = np.moveaxis(np.abs(colours - forehead), -1, 0)
    alike = (light < _LIGHT) & (red < _COLOUR) & (blue < _COLOUR)
    return np.asarray(alike & above[:, None] & apart)
