"""Says how far the colours tell the person from the background, and whether much of the outline is a guess."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import CHROMA, LUMA, NOISE, SideColours, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels

#: Squared distance of the background's colour from the person's and from the hair's, in their variances, between which they begin
#: to be trusted.
_PERSON_APART, _HAIR_APART = (3.0, 12.0), (6.0, 20.0)
#: How far light and chroma of the background are from the hair's, 8-bit levels, between which no light on the hair has that
#: colour.
_LIGHT, _TINT = (75.0, 95.0), (25.0, 40.0)
#: The same of tints that are one.
_SAME_TINT = 10.0, 18.0
#: Probability of a person from which and up to which a pixel may be either; mean width of such pixels along the outline from
#: which it is a guess, in widths of the face; and the least length of an outline, of the shorter side.
_EITHER, _GUESSED, _SHORTEST = 0.15, 0.033, 0.1


def colour_trust(own: SideColours) -> FloatArray:
    """How far the colours tell the person from the background at the doubtful pixels, 0 to 1, [n]."""
    person, wall, hair = own.person, own.wall, own.hair
    apart = ((person.mean - wall.mean) ** 2).sum(axis=0) / (person.variance + wall.variance + 2 * NOISE)
    trusted = step(apart, *_PERSON_APART)
    if hair is not None:
        apart = ((hair[0][:, None] - wall.mean) ** 2).sum(axis=0) / (hair[1] + wall.variance + 2 * NOISE)
        trusted = np.maximum(trusted, step(apart, *_HAIR_APART))
    return trusted


def light_alike(walls: FloatArray, hair: FloatArray) -> FloatArray:
    """Whether light on the hair could have the colour of the background, [3, n]: 0 to 1, [n]."""
    brighter, tint = _apart(walls, hair)
    return (1 - step(np.abs(brighter), *_LIGHT)) * (1 - step(tint, *_TINT))


def tint_alike(walls: FloatArray, hair: FloatArray) -> FloatArray:
    """Whether the background, [3, n], has the hair's tint: 0 to 1, [n]."""
    return 1 - step(_apart(walls, hair)[1], *_SAME_TINT)


def _apart(walls: FloatArray, hair: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much brighter than the hair the background is, and how far its tint is from the hair's, 8-bit levels, [n]."""
    apart = walls - hair[:, None]
    return LUMA @ apart, np.hypot(*(CHROMA @ apart))


def is_guessed(pixels: DoubtfulPixels, own: SideColours, landmarks: FloatArray) -> bool:
    """Whether much of the outline is a guess: neither the segmentation nor the colours tell the person from the background."""
    return _guessed_width(pixels, own) > _GUESSED * float(np.ptp(landmarks[list(mesh.OVAL), 0]))


def _guessed_width(pixels: DoubtfulPixels, own: SideColours) -> float:
    """Mean width along the outline of what may be either, px."""
    alike = 1 - colour_trust(own)
    if own.hair is not None:
        alike = np.maximum(alike, light_alike(own.wall.mean, own.hair[0]))
    probability = pixels.at(pixels.regions.probability)
    either = alike * ((probability > _EITHER) & (probability < 1 - _EITHER))
    person = pixels.regions.person
    outline = (cv2.dilate(person, np.ones((3, 3), np.uint8)) > person)[1:-1, 1:-1]
    length = float(outline.sum()) * pixels.side / min(person.shape)
    return float(either.sum()) / max(length, _SHORTEST * pixels.side)
