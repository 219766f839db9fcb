"""Finds the skin of ears beside hair by its red: as a mixture of hair and wall it would be half transparent."""

from __future__ import annotations

import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import CHROMA, SideColours, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels

#: How much redder than hair and wall skin is, 8-bit levels; how much redder than both the forehead is at least; and deviation of
#: the background's colour, up to which that is not its own red.
_REDDER, _APART, _EVEN = (6.0, 14.0), 12.0, (8.0, 14.0)
#: Probabilities of a person between which it begins to be skin.
_LIKELY = 0.2, 0.5
#: How far beside the face ears reach, in its width; how far above the eyes they do, and over which distance they end to be looked
#: for there and above the mouth, in its height.
_BESIDE, _BEYOND, _FADED = 0.2, 0.15, 0.12


def ear_skin(pixels: DoubtfulPixels, own: SideColours, skin: FloatArray, landmarks: FloatArray) -> FloatArray:
    """How much skin of an ear is at the doubtful pixels, 0 to 1, [n].

    Args:
        pixels: of the portrait.
        own: colours at these pixels.
        skin: the forehead's colour, RGB [3].
        landmarks: [478, 3] px.
    """
    if own.hair is None:
        return np.zeros(len(pixels.rows), np.float32)
    (_, red), wall = CHROMA, own.wall
    behind, most = red @ wall.mean, float(red @ skin)
    other = np.maximum(behind, red @ own.hair[0])
    found = red @ pixels.own
    share = np.clip((found - behind) / np.maximum(most - behind, 1), 0, 1) * step(found - other, *_REDDER)
    even = (1 - step(np.sqrt(wall.variance / 3), *_EVEN)) * (most - other > _APART)
    likely = step(pixels.at(pixels.regions.probability), *_LIKELY)
    return np.asarray(share * even * likely * _near(pixels, landmarks), np.float32)


def _near(pixels: DoubtfulPixels, landmarks: FloatArray) -> FloatArray:
    """1 where ears may be, 0 elsewhere, soft above and below, [n]."""
    oval = landmarks[list(mesh.OVAL), :2]
    (wide, high), left, right = np.ptp(oval, axis=0), oval[:, 0].min(), oval[:, 0].max()
    eyes, lips = landmarks[mesh.EYES[0][0][0], 1], landmarks[mesh.UPPER_LIP_INNER[0], 1]
    beside = (pixels.columns > left - _BESIDE * wide) & (pixels.columns < right + _BESIDE * wide)
    rows = pixels.rows.astype(np.float32)
    above, below = eyes - _BEYOND * high - rows, rows - lips
    return np.asarray(beside * (1 - step(np.maximum(above, below) / high, -_FADED, 0.0)), np.float32)
