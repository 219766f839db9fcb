"""Finds loose hair where the nearest sure part of the person is skin, such as beside a neck: it is as thin as its colour says."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import SideColours, project, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.morphology import disc

#: Probabilities of a person between which loose hair begins to be likely, and the person is sure.
_LIKELY, _SURE = (0.15, 0.35), (0.75, 0.95)
#: Distance from the mixtures of hair and wall, in variances, between which a colour ends to be one, and how much farther from
#: those of the person it is.
_MIXED, _RATHER = (4.0, 10.0), (0.5, 2.5)
#: Deviation of the background's colour, in 8-bit levels, between which what is mixed of hair and wall is no longer told.
_UNEVEN = 14.0, 20.0
#: Share of the hair from which, half the width of it from which, and how far around it there is loose hair; of the shorter side.
#: Narrower, it is the shade along a chin.
_DENSE, _WIDE, _AROUND = 0.4, 0.01, 0.06
#: Alpha between which loose hair is half transparent; half the width of specks of it; and the size of a piece from which it is
#: told, in squares of the face's width: 0.0045 beside a neck, and at most 0.0015 in 33 other portraits.
_THIN, _SPECK, _PIECE = (60, 225), 0.002, 0.003


def loose_hair(pixels: DoubtfulPixels, own: SideColours) -> FloatArray:
    """Where the segmentation is not sure, and the colour is one between hair and wall, 0 to 1, at the doubtful pixels, [n].

    Args:
        pixels: of the portrait.
        own: colours at these pixels.
    """
    if own.hair is None:
        return np.zeros(len(pixels.rows), np.float32)
    wall, person, apart = own.wall, own.person, pixels.own - own.wall.mean
    hair = own.hair[0][:, None] - wall.mean
    share, belief, misfit = project(apart, hair, np.float32(own.hair[1]), wall.variance)
    _, _, unlike_person = project(apart, person.mean - wall.mean, person.variance, wall.variance)
    probability = pixels.at(pixels.regions.probability)
    unsure = step(probability, *_LIKELY) * (1 - step(probability, *_SURE))
    even = 1 - step(np.sqrt(wall.variance / 3), *_UNEVEN)
    fits = (1 - step(misfit, *_MIXED)) * step(unlike_person - misfit, *_RATHER)
    loose = np.asarray(unsure * even * belief * fits, np.float32)
    dense = np.zeros(pixels.portrait.shape[:2], np.uint8)
    dense[pixels.rows, pixels.columns] = (loose > 0.5) & (share > _DENSE)
    wide = cv2.morphologyEx(dense, cv2.MORPH_OPEN, disc(max(1, _WIDE * pixels.side)))
    reach = 2 * round(_AROUND * pixels.side) + 1
    around = cv2.blur(cv2.dilate(wide, np.ones((reach, reach), np.uint8)).astype(np.float32), (reach // 2, reach // 2))
    return loose * around[pixels.rows, pixels.columns]


def is_thin_piece(loose: FloatArray, alpha: Picture, pixels: DoubtfulPixels, landmarks: FloatArray) -> bool:
    """Whether a piece of loose hair is half transparent, so that it may also be a shadow on the wall.

    Args:
        loose: where there is loose hair, [n].
        alpha: by the colours, uint8 [height, width].
        pixels: of the portrait.
        landmarks: [478, 3] px.
    """
    where = pixels.rows, pixels.columns
    thin = np.zeros(alpha.shape, np.uint8)
    thin[where] = (loose > 0.5) & (alpha[where] > _THIN[0]) & (alpha[where] < _THIN[1])
    whole = cv2.morphologyEx(thin, cv2.MORPH_OPEN, disc(max(1, _SPECK * pixels.side)))
    pieces = cv2.connectedComponentsWithStats(whole)[2][1:, cv2.CC_STAT_AREA]
    return bool((pieces > _PIECE * float(np.ptp(landmarks[list(mesh.OVAL), 0])) ** 2).any())
