"""Finds skin: the head's own, and another person's face or hand beside it, which the segmentation takes as the person's own."""

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
#: How much less red than the forehead the person's own skin beside it is at most, 8-bit levels: ears are redder, and fair hair is
#: paler; and half the width of a strand of hair that has such a colour, too, in the face's width.
_PALER, _STRAND = 3.0, 0.022


def find_skin(picture: Picture, landmarks: FloatArray, skin: FloatArray) -> tuple[Mask, Mask]:
    """Where an RGB picture shows skin above the mouth, [height, width]: of the person, and apart from the face, of others.

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
    light, red, blue = np.moveaxis(colours - forehead, -1, 0)
    bright = (np.abs(light) < _LIGHT) & above[:, None]
    alike = bright & (np.abs(red) < _COLOUR) & (np.abs(blue) < _COLOUR)
    skinny = (bright & (red > -_PALER) & ~apart).astype(np.uint8)
    reach = max(1, round(_STRAND * (right - left)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    longer = cv2.copyMakeBorder(skinny, *(reach,) * 4, cv2.BORDER_REPLICATE)  # an ear may be cut by the border
    solid = cv2.morphologyEx(longer, cv2.MORPH_OPEN, kernel)[reach:-reach, reach:-reach]
    return solid > 0, alike & apart
