"""Divides a portrait by the segmentation's mask: surely the person, surely the background, and what colours have to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.bystander import find_others
from stages.face.rig.matting.fill import spread_colours
from stages.face.rig.matting.found_person import FoundPerson
from stages.face.rig.matting.hairline import forehead_colour
from stages.face.rig.matting.morphology import disc, opened
from stages.face.sampling import blur

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Minimum mean probability of a person over the face; below it the segmentation failed.
_LEAST_FACE = 0.9
#: Distances from the mask's outline, as fractions of the shorter side, up to which it may be wrong: inwards and outwards.
_INWARDS, _OUTWARDS = 0.025, 0.05
#: Probability from which the person is sure, away from the outline.
_SURE = 0.9
#: Probability up to which the background's colours are learned, and the squared distance from them, in their variance, up to
#: which an unsure part is background, too.
_UNLIKELY, _ALIKE = 0.1, 9.0
#: Mean probability that an unsure part has at least, or it is none of the person: from and up to this fraction of the picture.
_LARGE, _WEAK = (0.02, 0.06), (0.7, 0.85)
#: Variance that every colour has at least, squared levels of three channels.
_NOISE = 20.0
#: Holes in the mask up to this fraction of the picture are its mistakes; so are larger ones that it is not sure of.
_HOLE, _EMPTY = 0.004, 0.2
#: How far the skull rises above the top of the mesh's forehead, as a fraction of the face's height: as little as it ever does.
_CROWN = 0.12
#: Half the width and height of the place of an ear, in widths and heights of the face; how far its brightness may be from that
#: of the cheeks, and its colour, 8-bit levels.
_EAR, _EAR_LIGHT, _SKIN = (0.14, 0.22), 105.0, 8.0
#: Probability of a person from which the segmentation is certain inside its outline, too.
_CLEAR = 0.95
#: Half the width of the soft edge that its outline has everywhere, of the shorter side.
_SOFT = 0.009
#: How far inside the outline what is unsure may be the background, of the shorter side: beyond, it is cloth with a pattern.
_SEEN_THROUGH = 0.06
#: Sigma of the blur of the distance from the outline, px.
_STEPS = 1.0
#: Fraction of the face's area from which a repair of the mask is worth a warning.
_REPAIRED = 0.03
#: Length of the outline between two heads from which they touch, in heights of the face: 0.6, 1.4 and 1.6 in portraits with
#: hair of both between the faces, 0.3 in one with a wall between them.
_TOUCHED = 0.5


@dataclass(frozen=True)
class PersonRegions:
    """What the mask says of each pixel; all arrays [height, width].

    Attributes:
        person: 1 where the person is likely, holes closed, in one piece with the face; uint8.
        inwards, outwards: distance to the outline inside and outside of it, px.
        unsure: 1 inside the outline where the segmentation is not certain, from the outline on: the background may be seen
            between locks or beside the neck; uint8.
        deep: distance inside the outline to what is unsure, too, px.
        certain: 1 where the face is; uint8.
        sure, background: where there is no doubt; 0 or 1.
        probability: of a person, as the segmentation gave it.
        repaired: whether a plain mistake of the mask was mended.
        touched: whether another person's head touches the person's.
    """

    person: Picture
    inwards: FloatArray
    outwards: FloatArray
    unsure: Picture
    deep: FloatArray
    certain: Picture
    sure: FloatArray
    background: FloatArray
    probability: FloatArray
    repaired: bool
    touched: bool

    @classmethod
    def of(
        cls,
        person: Picture,
        unsure: Picture,
        probability: FloatArray,
        certain: Picture,
        repaired: bool,
        touched: bool,
    ) -> PersonRegions:
        """Divide by the outline of `person`; where `certain` is 1, there is no doubt."""
        side = min(person.shape)
        outside = cv2.distanceTransform(1 - person, cv2.DIST_L2, cv2.DIST_MASK_5)
        inside = cv2.distanceTransform(person, cv2.DIST_L2, cv2.DIST_MASK_5)
        # Softened: the picture is several times as large, and would show the steps of these pixels.
        distance = blur(np.where(person > 0, 0.5 - inside, outside - 0.5).astype(np.float32), _STEPS)
        outwards, inwards = np.maximum(distance, 0), np.maximum(-distance, 0)
        deep = cv2.distanceTransform(person & ~unsure, cv2.DIST_L2, cv2.DIST_MASK_5) - 0.5
        deep = np.minimum(inwards, np.maximum(blur(deep.astype(np.float32), _STEPS), 0))
        sure = (deep > _INWARDS * side) | (certain > 0)
        background = outwards > _OUTWARDS * side
        if not background.any():
            background = (outwards > 0) & (outwards >= 0.6 * outwards.max())
        return cls(
            person,
            inwards,
            outwards,
            unsure,
            deep,
            certain,
            sure.astype(np.float32),
            background.astype(np.float32),
            probability,
            repaired,
            touched,
        )

    @property
    def doubtful(self) -> Mask:
        """Where colours have to decide."""
        return np.asarray((self.sure == 0) & (self.background == 0))

    @property
    def likely(self) -> FloatArray:
        """Alpha by the outline alone, 0 to 1, a few pixels soft."""
        soft = 0.012 * min(self.person.shape)
        return np.asarray(np.clip(0.5 + (self.inwards - self.outwards) / soft, 0, 1), np.float32)


def find_regions(picture: FloatArray, landmarks: FloatArray, probability: FloatArray) -> PersonRegions | None:
    """Divide a picture; None if the segmentation missed the face.

    Args:
        picture: [height, width, 3], 0 to 255.
        landmarks: [478, 2] px of it.
        probability: of a person, 0 to 1, [height, width].
    """
    face = _face(landmarks, probability.shape)
    if not face.any() or float(probability[face > 0].mean()) < _LEAST_FACE:
        return None
    skull = _skull(face, landmarks)
    ears = _ears(picture, landmarks, probability)
    likely = _piece_with(face, (probability > 0.5) | (skull > 0))
    person = _piece_with(face, cv2.max(_without_background(likely, probability, face, picture), ears))
    shown = np.ascontiguousarray(picture, np.uint8)
    others = find_others(shown, person, landmarks, forehead_colour(shown, landmarks)) & (skull == 0)
    if others.any():
        person = _piece_with(face, (person > 0) & ~others)
        probability = np.where(others, 0, probability).astype(np.float32)
    mended = _holes(person, probability, face)
    head = cv2.dilate(skull, np.ones((2 * round(0.3 * np.sqrt(face.sum())) + 1,) * 2, np.uint8))
    repaired = int(mended[head > 0].sum()) + int((skull[probability <= 0.5] > 0).sum())
    person = person | mended
    touched = _contact(person, others, landmarks) > _TOUCHED
    unsure = _unsure(person, probability, skull | ears | mended)
    return PersonRegions.of(
        person, unsure, probability, _sure_face(face), repaired > _REPAIRED * int(face.sum()), touched
    )


def whole_regions(found: FoundPerson) -> PersonRegions:
    """Divide the whole picture by what was found in it."""
    person, unsure, certain = (mask.astype(np.uint8) for mask in (found.person, found.unsure, found.certain))
    return PersonRegions.of(person, unsure, found.probability, certain, found.repaired, found.touched)


def shown_regions(found: FoundPerson, size: tuple[int, int]) -> PersonRegions:
    """Divide the part of the picture that is shown by what was found in the whole, scaled to a width and height."""
    person, unsure, certain = (
        found.shown_mask(mask, size).astype(np.uint8) for mask in (found.person, found.unsure, found.certain)
    )
    likely = found.shown(found.probability, size)
    return PersonRegions.of(person, unsure, likely, certain, found.repaired, found.touched)


def _face(landmarks: FloatArray, shape: tuple[int, ...]) -> Picture:
    """1 where the face is, [height, width]."""
    face = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(face, np.round(landmarks[list(mesh.OVAL), :2]).astype(np.int32), (1,))
    return face


def _sure_face(face: Picture) -> Picture:
    """1 where the face is, without its outermost pixels."""
    return np.asarray(cv2.erode(face, np.ones((5, 5), np.uint8)), np.uint8)


def _unsure(person: Picture, probability: FloatArray, known: Picture) -> Picture:
    """Where the segmentation is not certain, from the outline inwards, 0 or 1; what is `known` to be the person is left out."""
    side = min(person.shape)
    inwards = cv2.distanceTransform(person, cv2.DIST_L2, cv2.DIST_MASK_5)
    unsure = (probability < _CLEAR) & (known == 0) & (inwards > 0) & (inwards < _SEEN_THROUGH * side)
    unsure = opened(unsure, _SOFT * side)
    _, labels = cv2.connectedComponents(unsure, connectivity=4)
    beside = cv2.dilate(1 - person, np.ones((3, 3), np.uint8)) > 0
    return np.asarray(np.isin(labels, np.unique(labels[beside & (unsure > 0)])) & (unsure > 0), np.uint8)


def _contact(person: Picture, others: Mask, landmarks: FloatArray) -> float:
    """How long the outline between the person's head and others is, above the chin, in heights of the face."""
    beside = (cv2.dilate(others.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (person > 0)
    chin = max(0, round(float(landmarks[mesh.CHIN, 1])))
    return float(beside[:chin].sum() / np.ptp(landmarks[list(mesh.OVAL), 1]))


def _skull(face: Picture, landmarks: FloatArray) -> Picture:
    """The face, and the part of the head above it that every head has."""
    top, chin = landmarks[mesh.FOREHEAD, :2], landmarks[mesh.CHIN, :2]
    rise = np.round((top - chin) * _CROWN).astype(int)
    moved = cv2.warpAffine(face, np.array([[1, 0, rise[0]], [0, 1, rise[1]]], np.float64), face.shape[::-1])
    return np.asarray(cv2.max(face, cv2.erode(moved, np.ones((3, 3), np.uint8))), np.uint8)


def _ears(picture: FloatArray, landmarks: FloatArray, probability: FloatArray) -> Picture:
    """Ears that the segmentation half sees: skin-coloured, where ears are."""
    up = landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]
    across = landmarks[mesh.RIGHT_SIDE, :2] - landmarks[mesh.LEFT_SIDE, :2]
    places = np.zeros(probability.shape, np.uint8)
    tilt = float(np.degrees(np.arctan2(across[1], across[0])))
    axes = _EAR[0] * float(np.hypot(*across)), _EAR[1] * float(np.hypot(*up))
    for side, outwards in ((mesh.LEFT_SIDE, -1), (mesh.RIGHT_SIDE, 1)):
        middle = landmarks[side, :2] + 0.5 * _EAR[0] * outwards * across
        cv2.ellipse(places, (middle.astype(float).tolist(), [2 * axis for axis in axes], tilt), (1,), cv2.FILLED)
    colours = cv2.cvtColor(np.asarray(picture, np.uint8), cv2.COLOR_RGB2YCrCb).astype(np.float32)
    cheeks = np.round(landmarks[list(mesh.CHEEKS), :2]).astype(int)
    columns, rows = (np.clip(cheeks[:, axis], 0, picture.shape[1 - axis] - 1) for axis in (0, 1))
    light, red, blue = np.moveaxis(colours - np.median(colours[rows, columns], axis=0), -1, 0)
    # Ears may be redder than cheeks, as light shines through them, and much darker.
    skin = (np.abs(light) < _EAR_LIGHT) & (red > -_SKIN) & (red < 6 * _SKIN)
    skin &= (blue < 1.5 * _SKIN) & (blue > -1.5 * _SKIN - 0.5 * np.maximum(red, 0))
    whole = ((places > 0) & skin & (probability > _UNLIKELY)).astype(np.uint8)
    closed = cv2.morphologyEx(whole, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return np.asarray(cv2.min(closed, places), np.uint8)


def _piece_with(face: Picture, mask: npt.NDArray[Any]) -> Picture:
    """The piece of a mask that holds the face."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8) | face)
    found = labels[face > 0]
    return np.asarray(labels == np.bincount(found[found > 0]).argmax(), np.uint8)


def _without_background(likely: Picture, probability: FloatArray, face: Picture, picture: FloatArray) -> Picture:
    """Leave out wide parts of which the segmentation is not sure, if they look like the background or are large."""
    side = min(likely.shape)
    radius = max(1, round(_INWARDS * side))
    kernel = disc(radius)
    likely = _without_weak_parts(likely, probability, face, radius)
    sure = _piece_with(face, (probability > _SURE) & (likely > 0))
    unsure = np.asarray((likely > 0) & (cv2.dilate(sure, kernel) == 0), np.uint8)
    known = ((cv2.dilate(likely, kernel) == 0) & (probability < _UNLIKELY)).astype(np.float32)
    if not unsure.any() or not known.any():
        return likely
    behind, varying = spread_colours(picture, known)
    apart = ((picture - behind) ** 2).sum(axis=-1) / (varying + _NOISE)
    count, labels = cv2.connectedComponents(unsure)
    alike = np.zeros_like(likely)
    for number in range(1, count):
        here = labels == number
        if float(np.median(apart[here])) < _ALIKE:
            alike[here] = 1
    # What is left of their edges, up to the sure part, goes with them.
    return _piece_with(face, (likely > 0) & (cv2.dilate(alike, kernel) == 0) | (sure > 0))


def _without_weak_parts(likely: Picture, probability: FloatArray, face: Picture, radius: int) -> Picture:
    """Leave out large parts with a low probability in the mean; a narrow bridge to the head does not make them sure."""
    kernel = disc(radius)
    sure = _piece_with(face, opened((probability > _SURE) | (face > 0), radius))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.asarray((likely > 0) & (cv2.dilate(sure, kernel) == 0), np.uint8)
    )
    total = np.bincount(labels.ravel(), probability.ravel(), minlength=count)
    area = stats[:, cv2.CC_STAT_AREA]
    large = area / likely.size
    weak = (large > _LARGE[0]) & (total / np.maximum(area, 1) < np.interp(large, _LARGE, _WEAK))
    weak[0] = False
    left = np.asarray(weak[labels], np.uint8)
    return _piece_with(face, (likely > 0) & (cv2.dilate(left, kernel) == 0) | (sure > 0))


def _holes(person: Picture, probability: FloatArray, face: Picture) -> Picture:
    """Enclosed gaps that are the segmentation's mistakes; a wide gap, as between arm and body, is none. A gap at the lower border
    is one if it lies below the face: the background is seen beside the chest, but not through it.
    """
    height, width = person.shape
    columns = np.flatnonzero(face.any(axis=0))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - person, connectivity=4)
    holes = np.zeros_like(person)
    for number in range(1, count):
        x, y, across, down, area = stats[number]
        here = labels == number
        if x and y and x + across < width and y + down < height:
            if area < _HOLE * person.size or float(probability[here].mean()) > _EMPTY:
                holes[here] = 1
        elif y and columns[0] <= x and x + across <= columns[-1] + 1 and y + down == height:
            holes[here] = 1
    return holes
