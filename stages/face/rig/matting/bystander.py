"""Finds other people beside the person, whom the segmentation takes as a part of it, and skin: the head's own, and theirs."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.morphology import disc, opened

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: How far beside the mesh of the face its own skin may be, in its width: ears, and the side of a turned head.
_OWN = 0.3
#: How much darker or brighter than the forehead another person's skin may be, and how far from its colour, 8-bit levels.
_LIGHT, _COLOUR = 90.0, 10.0
#: How much less red than the forehead the person's own skin beside it is at most, 8-bit levels: ears are redder, and fair hair is
#: paler; and half the width of a strand of hair that has such a colour, too, in the face's width.
_PALER, _STRAND = 3.0, 0.022
#: What is apart from the head above the eyes is another one from this size on, in squares of the face's width. In 68 portraits,
#: two neighbours had at least 0.05, and nothing else had 0.003.
_LEAST_HEAD = 0.02
#: Skin far from the face is another person's from this size on, in squares of the face's width, without what is narrower than
#: twice `_SOLID`, in widths, and if it is at most so many times as uneven as the face. Two neighbours had 0.14 and 0.20, and 1.3
#: and 0.6; the most of four heads of hair was 0.02, and none was smoother than 2.
_LEAST_FACE, _SOLID, _AS_SMOOTH = 0.06, 0.04, 1.7
#: Sigma of the blur that leaves no hair to be seen, in widths of the face.
_DETAIL = 0.013
#: Half the width of the person's chest below the chin, and how far around the skull ears and hair reach, in widths of the face;
#: how far the skull rises above the mesh, in heights.
_CHEST, _HAIR, _CROWN = 0.5, 0.06, 0.3
#: Hair between two people is another one's up to so many times the distance from the person's head.
_NEARER = 3.0
#: Width up to which what is left beside other people is a strip of theirs, in widths of the face.
_STRIP = 0.16
#: How far beside the face its own ears reach, in its width.
_EAR = 0.15
#: Skin there that another person's face goes on into is the person's ear from this size on, in squares of the face's width: an
#: ear had 0.057, and slices of other faces at most 0.03.
_WHOLE_EAR = 0.045


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
    light, red, blue = _from_skin(picture, skin)
    bright = (np.abs(light) < _LIGHT) & above[:, None]
    alike = bright & (np.abs(red) < _COLOUR) & (np.abs(blue) < _COLOUR)
    skinny = bright & (red > -_PALER) & ~apart
    return opened(skinny, _STRAND * (right - left)) > 0, alike & apart


def _from_skin(picture: Picture, skin: FloatArray) -> FloatArray:
    """How much brighter, redder and bluer than skin of this colour each pixel is, 8-bit levels, [3, height, width]."""
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    forehead = cv2.cvtColor(skin.reshape(1, 1, 3) / 255, cv2.COLOR_RGB2YCrCb)[0, 0] * 255
    return np.moveaxis(colours - forehead, -1, 0)


def find_others(picture: Picture, person: Picture, landmarks: FloatArray, skin: FloatArray) -> Mask:
    """Where the segmentation's mask shows other people, [height, width]: they stay in the background.

    Somebody else is a head of its own beside the head, or smooth skin where no skin of the person is. What is nearer to that than
    to the person's head and chest is theirs.

    Args:
        picture: RGB uint8 [height, width, 3].
        person: 1 where the segmentation sees people, uint8 [height, width].
        landmarks: [478, 2 or 3] px.
        skin: the forehead's colour, RGB [3].
    """
    oval = landmarks[list(mesh.OVAL), :2]
    wide = float(np.ptp(oval[:, 0]))
    face = np.zeros_like(person)
    cv2.fillConvexPoly(face, np.round(oval).astype(np.int32), (1,))
    faces = _faces_beside(picture, person, face, landmarks, skin)
    theirs = _heads_beside(person, face, landmarks, wide) | _whole_faces(picture, person, face, faces, landmarks, skin)
    if not theirs.any():
        return theirs
    # The head with its ears and hair, and the chest below it, to the picture's edge
    rise = round(_CROWN * float(np.ptp(oval[:, 1])))
    own = np.concatenate([face, np.zeros((rise, face.shape[1]), np.uint8)])  # room for what is moved up
    own = cv2.dilate(own, np.ones((rise + 1, 1), np.uint8), anchor=(0, 0))[: len(face)]
    around = disc(_HAIR * wide)
    ears = cv2.dilate(face, disc(_EAR * wide))
    own_skin = np.asarray(find_skin(picture, landmarks, skin)[0] & (ears > 0) & ~theirs, np.uint8)
    own = np.asarray(cv2.max(cv2.dilate(own, around), own_skin), np.uint8)
    chin = landmarks[mesh.CHIN, :2]
    lowest = max(0, round(float(chin[1])))
    own[lowest:, max(0, round(float(chin[0]) - _CHEST * wide)) : max(0, round(float(chin[0]) + _CHEST * wide))] = 1
    to_own, to_theirs = (
        cv2.distanceTransform(1 - one, cv2.DIST_L2, cv2.DIST_MASK_5) for one in (own, theirs.astype(np.uint8))
    )
    others = (to_theirs < _NEARER * to_own) & (person > 0)
    return others | _strips_beside(others, person, face | own_skin, wide)


def _strips_beside(others: Mask, person: Picture, certain: Picture, wide: float) -> Mask:
    """What of the person beside other people is no wider than a strip, and is not `certain`: it is their hair or skin."""
    left = (person > 0) & ~others
    strips = (left & (opened(left, _STRIP / 2 * wide) == 0) & (certain == 0)).astype(np.uint8)
    _, labels = cv2.connectedComponents(strips)
    beside = cv2.dilate(others.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(np.isin(labels, np.unique(labels[beside & (strips > 0)])) & (strips > 0))


def _whole_faces(
    picture: Picture, person: Picture, face: Picture, found: Mask, landmarks: FloatArray, skin: FloatArray
) -> Mask:
    """All skin of the mask that goes on from what was `found` of other faces, but for an ear of the person's that it touches;
    what was found alone, where that reaches the person's face.
    """
    if not found.any():
        return found
    wide = float(np.ptp(landmarks[list(mesh.OVAL), 0]))
    light, red, blue = np.abs(_from_skin(picture, skin))
    alike = (light < _LIGHT) & (red < _COLOUR) & (blue < _COLOUR) & (person > 0)
    opened = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels = cv2.connectedComponents(opened | found.astype(np.uint8), connectivity=4)
    whole = np.isin(labels, np.unique(labels[found]))
    ears = whole & (cv2.dilate(face, disc(_EAR * wide)) > 0) & ~found
    if ears.sum() > _WHOLE_EAR * wide**2:
        whole &= ~ears
    return np.asarray(found if whole[face > 0].any() else whole)


def _heads_beside(person: Picture, face: Picture, landmarks: FloatArray, wide: float) -> Mask:
    """What of the mask above the eyes is apart from the head, [height, width]."""
    above = person.copy()
    above[max(0, round(float(landmarks[mesh.BETWEEN_EYES, 1]))) :] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above)
    own = set(np.unique(labels[(face > 0) & (above > 0)]))
    least = _LEAST_HEAD * wide**2
    heads = [one for one in range(1, count) if one not in own and stats[one, cv2.CC_STAT_AREA] >= least]
    return np.asarray(np.isin(labels, heads))


def _faces_beside(picture: Picture, person: Picture, face: Picture, landmarks: FloatArray, skin: FloatArray) -> Mask:
    """Smooth skin of the mask that is far from the face, or beside it where no ear of its own reaches, [height, width]: fair hair
    may have its colour, but is not as smooth.
    """
    oval = landmarks[list(mesh.OVAL), :2]
    wide = float(np.ptp(oval[:, 0]))
    light, red, blue = np.abs(_from_skin(picture, skin))
    alike = (light < _LIGHT) & (red < _COLOUR) & (blue < _COLOUR) & (person > 0)
    beside = cv2.dilate(face, disc(_EAR * wide)) == 0
    beside[: max(0, round(float(oval[:, 1].min())))] = False  # hair and hats are above
    beside[max(0, round(float(landmarks[list(mesh.UPPER_LIP_INNER), 1].min()))) :] = False
    far = find_skin(picture, landmarks, skin)[1] & (person > 0)
    return _smooth_skin(picture, far, face, wide) | _smooth_skin(picture, alike & beside, face, wide)


def _smooth_skin(picture: Picture, apart: Mask, face: Picture, wide: float) -> Mask:
    """What of skin `apart` from the face is solid; nothing if that is small, or rougher than the face, [height, width]."""
    solid = opened(apart, _SOLID * wide) > 0
    if solid.sum() < _LEAST_FACE * wide**2:
        return np.zeros_like(solid)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), _DETAIL * wide))
    smooth = np.median(detail[solid]) <= _AS_SMOOTH * max(float(np.median(detail[face > 0])), 1.0)
    return np.asarray(solid if smooth else np.zeros_like(solid))
