"""Finds the wall between curls and locks, where the segmentation takes it for a part of the person."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.bystander import find_skin
from stages.face.rig.matting.colour_mixture import BRIGHTER, NOISE, HairColour, project
from stages.face.rig.matting.fill import spread, spread_colours
from stages.face.rig.matting.person_regions import PersonRegions

Mask = npt.NDArray[np.bool_]

#: Deviation of a plain wall's colour at most, near each place and of the whole wall: on a wall of many colours, light on hair may
#: have one of them; how much brighter than the hair the wall is at least, and how far from the forehead's colour, 8-bit levels.
_PLAIN, EVEN, _BRIGHTER, _APART = 6.0, 16.0, 60.0, 40.0
#: Share of the hair in the colour of a gap at most, and distance from the mixtures of hair and wall, in variances.
_SHARE, _MISFIT = 0.45, 6.0
#: How far inside the outline gaps may reach, of the shorter side, and their size at most, of the picture: a hat of the wall's
#: colour is larger.
_DEEP, _LARGE = 0.12, 0.015
#: How far from the face's outline and from skin a gap is at least, in the face's width: in shadow, skin may look like the wall.
_BESIDE = 0.04


def open_gaps(
    regions: PersonRegions, picture: FloatArray, landmarks: FloatArray, hair: HairColour, forehead: FloatArray
) -> PersonRegions:
    """Take the wall that is seen between hair, from the outline inwards, out of the person.

    Only before a plain wall, and where neither hair nor skin has its colour: nothing else shows that it is the wall.

    Args:
        regions: of the picture.
        picture: RGB [height, width, 3], 0 to 255.
        landmarks: [478, 2] px of it.
        hair: its colour and variance.
        forehead: its colour, RGB [3].
    """
    if picture[regions.background > 0].std(axis=0).mean() > EVEN:
        return regions
    wall, varying = spread_colours(picture, regions.background)
    brighter, differs = (wall - hair[0]).mean(axis=-1), np.sqrt(((forehead - wall) ** 2).sum(axis=-1))
    usable = (np.sqrt(varying / 3) < _PLAIN) & (brighter > _BRIGHTER) & (differs > _APART)
    if not usable.any():
        return regions
    apart, line = (np.moveaxis(one, -1, 0) for one in (picture - wall, hair[0] - wall))
    share, _, misfit = project(apart, line, np.float32(hair[1]), varying + NOISE)
    likely = usable & (share < _SHARE) & (misfit < _MISFIT) & (regions.inwards < _DEEP * min(regions.person.shape))
    likely &= ~face_and_neck(picture, landmarks, forehead)
    gaps = _from_outside(likely & (regions.person > 0), regions.person)
    if not gaps.any() or gaps.mean() > _LARGE:
        return regions
    person = np.where(gaps, 0, regions.person).astype(np.uint8)
    unsure = regions.unsure & person
    return PersonRegions.of(person, unsure, regions.probability, regions.certain, regions.repaired, regions.touched)


def doubt_brighter_walls(regions: PersonRegions, picture: FloatArray, hair: HairColour) -> PersonRegions:
    """Leave unsure only what lies beside a wall that is brighter than the hair: elsewhere colours tell hair from no gap."""
    if not regions.unsure.any():
        return regions
    wall = spread(picture, regions.background)
    brighter = (wall - hair[0]).mean(axis=-1) > BRIGHTER[0]
    unsure = (regions.unsure & brighter).astype(np.uint8)
    return PersonRegions.of(
        regions.person, unsure, regions.probability, regions.certain, regions.repaired, regions.touched
    )


def face_and_neck(picture: FloatArray, landmarks: FloatArray, forehead: FloatArray) -> Mask:
    """Skin with what is close to it, and all below the mouth that is no wider than the face."""
    oval = landmarks[list(mesh.OVAL)]
    reach = max(1, round(_BESIDE * float(np.ptp(oval[:, 0]))))
    skin = find_skin(picture.astype(np.uint8), landmarks, forehead)[0].astype(np.uint8)
    cv2.fillConvexPoly(skin, np.round(oval).astype(np.int32), (1,))
    near = cv2.dilate(skin, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)) > 0
    mouth, chin = (max(0, round(float(landmarks[point, 1]))) for point in (mesh.UPPER_LIP_INNER[0], mesh.CHIN))
    left, right = round(float(oval[:, 0].min())) - reach, round(float(oval[:, 0].max())) + reach
    near[mouth:, max(0, left) : max(0, right)] = True
    near[chin:] = True
    return np.asarray(near)


def _from_outside(gaps: Mask, person: npt.NDArray[np.uint8]) -> Mask:
    """Those of the gaps that begin at the person's outline."""
    _, labels = cv2.connectedComponents(gaps.astype(np.uint8), connectivity=8)
    beside = cv2.dilate(1 - person, np.ones((3, 3), np.uint8)) > 0
    return np.asarray(np.isin(labels, np.unique(labels[gaps & beside])) & gaps)
