"""Closes the crown where hair and background are alike, and colours leave bites in it."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import SideColours, step
from stages.face.rig.matting.cut_out.colour_trust import light_alike
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.morphology import opened
from stages.face.sampling import blur

#: Sigma of the blur of the arc's edge, of the shorter side.
_BLUR = 0.003
#: Alpha of half a person, and half the width of locks that are no part of the head's arc, of the shorter side.
_HALF, _LOCK = 128, 0.012
#: Probabilities of a person between which bites begin to be hair.
_RATHER = 0.15, 0.3
#: How far above the sides of the face ears may reach, in its height: there the outline has no arc.
_EARS = 0.15


def close_crown(cut: Picture, pixels: DoubtfulPixels, own: SideColours, landmarks: FloatArray) -> Picture:
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
    closed = blur(hull, max(_BLUR * side, 0.5))[where].astype(np.float32) * light_alike(own.wall.mean, own.hair[0])
    closed *= step(pixels.at(pixels.regions.probability), *_RATHER)
    whole = cut.copy()
    whole[where] = np.maximum(cut[where], np.round(closed).astype(np.uint8))
    return whole
