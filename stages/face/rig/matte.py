"""Splits the portrait into the person (a soft matte) and the background, filled in behind the person.

The person can then move in front of a still background, or of another one. Compositing the two parts gives exactly the same
picture: picture = figure + (1 - matte) * background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.sampling import blur, blur_widely, on_colours, sample

Picture = npt.NDArray[np.uint8]

#: Probabilities of the segmentation that become 0 and 1; those between are stretched over the whole range.
_LOW, _HIGH = 0.12, 0.88
#: Radius of the guided filter, as a fraction of the shorter side, and its regularisation, for grey from 0 to 1.
_RADIUS, _STRICT = 0.012, 4e-4
#: Minimum mean probability of a person over the face; below it the segmentation failed.
_LEAST_FACE = 0.9
#: Distance from the person at which known background begins, as a fraction of the shorter side: nearer by, hair is visible.
_CLEAR = 0.02
#: Alpha below this becomes 0, and the background may be darkened by up to this. 8-bit levels
_FAINT, _LITTLE = 8, 6


@dataclass(frozen=True)
class Matte:
    """The matte of a portrait; false if the picture could not be split.

    Attributes:
        alpha: 255 for the person, 0 for the background; uint8 [height, width].
        plate: the background, filled in behind the person; uint8 [height, width, 3], in the portrait's channel order.
    """

    alpha: Picture
    plate: Picture

    @classmethod
    def empty(cls) -> Matte:
        """Make the matte of a picture that cannot be split."""
        return cls(np.zeros((0, 0), np.uint8), np.zeros((0, 0, 3), np.uint8))

    def __bool__(self) -> bool:
        return bool(self.alpha.size)


def split_person(portrait: Picture, landmarks: FloatArray, person: FloatArray) -> Matte:
    """Split an RGB portrait into person and background; the matte is empty if the segmentation misses the face.

    Args:
        portrait: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        person: probability that each pixel shows a person, 0 to 1, [height, width].
    """
    face = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillConvexPoly(face, np.round(landmarks[list(mesh.OVAL), :2]).astype(np.int32), (1,))
    if not face.any() or float(person[face > 0].mean()) < _LEAST_FACE:
        return Matte.empty()
    side = min(portrait.shape[:2])
    alpha = _follow_edges(person, portrait, max(2, round(_RADIUS * side)))
    alpha = np.clip((alpha - _LOW) / (_HIGH - _LOW), 0, 1)
    alpha *= _connected_to_face(alpha, face, max(2, round(_RADIUS * side)))
    alpha = np.maximum(alpha, _solid_face(face, side))
    matte = np.asarray(np.round(alpha * 255), np.uint8)
    matte[matte < _FAINT] = 0
    return _make_exact(portrait, matte, _fill(portrait, matte, max(1, round(_CLEAR * side))))


def _follow_edges(mask: FloatArray, picture: Picture, radius: int) -> FloatArray:
    """Align the mask's edges with the picture's by the guided filter (He, Sun and Tang, 2013)."""
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: npt.NDArray[Any]) -> FloatArray:
        return np.asarray(cv2.blur(values, window), np.float32)

    guide_mean, mask_mean = mean(guide), mean(mask)
    slope = (mean(guide * mask) - guide_mean * mask_mean) / (mean(guide * guide) - guide_mean**2 + _STRICT)
    offset = mask_mean - slope * guide_mean
    return np.asarray(mean(slope) * guide + mean(offset), np.float32)


def _connected_to_face(alpha: FloatArray, face: Picture, radius: int) -> FloatArray:
    """1 on the part of the matte that is connected to the face, 0 on separate parts, with a soft edge."""
    _, labels = cv2.connectedComponents((alpha > 0.5).astype(np.uint8) | face)
    found = labels[face > 0]
    own = (labels == np.bincount(found[found > 0]).argmax()).astype(np.uint8)
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(blur(cv2.dilate(own, kernel).astype(np.float32), radius / 2), np.float32)


def _solid_face(face: Picture, side: int) -> FloatArray:
    """1 inside the face, which is always opaque, even if the segmentation misses a shadow on it."""
    eroded = cv2.erode(face, np.ones((3, 3), np.uint8), iterations=max(1, round(0.01 * side)))
    return np.asarray(blur(eroded.astype(np.float32), max(1.0, 0.004 * side)), np.float32)


def _fill(picture: Picture, alpha: Picture, clear: int) -> Picture:
    """Fill in the person from the background around them.

    Near the outline the background is mirrored, so that areas uncovered by the moving head have its texture; deeper inside,
    where nothing is ever uncovered, it is averaged.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * clear + 1, 2 * clear + 1))
    clean = cv2.bitwise_not(cv2.dilate(cv2.threshold(alpha, 0, 255, cv2.THRESH_BINARY)[1], kernel))  # 255, else 0
    known = (clean > 0).astype(np.float32)
    if not known.any():
        return picture.copy()
    own = picture.astype(np.float32)
    filled = _push_pull(own * on_colours(known), known)
    mirrored, sure = _mirror(picture, known, 2 * clear)
    filled += on_colours(sure) * (mirrored - filled)
    edge = on_colours(blur(known, clear / 2) * known)  # the picture's own where it is known, without a step
    plate = np.asarray(np.clip(filled + edge * (own - filled) + 0.5, 0, 255), np.uint8)
    untouched = (alpha == 0) & (cv2.erode(clean, kernel) > 0)
    plate[untouched] = picture[untouched]
    return plate


def _make_exact(picture: Picture, alpha: Picture, plate: Picture) -> Matte:
    """Adjust the parts so that compositing them gives exactly the picture.

    Where a pixel is darker than the background's share in it, the background is darkened a little; if that is not enough (a
    strand of hair that the segmentation missed), alpha is raised.
    """
    apart = np.bitwise_or.reduce(cv2.split(cv2.absdiff(picture, plate)))
    concerned = (alpha < 255) & ((alpha > 0) | (apart > 0))  # the others fit as they are
    own, behind = picture[concerned].astype(np.int32) * 255, plate[concerned].astype(np.int32)
    through = 255 - alpha[concerned].astype(np.int32)
    fitting = own // np.maximum(through, 1)[:, None]
    darker = np.maximum(np.minimum(behind, fitting), behind - _LITTLE)
    most = np.where(darker > 0, own // np.maximum(darker, 1), 255).min(axis=-1)
    exact_alpha, exact_plate = alpha.copy(), plate.copy()
    exact_alpha[concerned] = 255 - np.minimum(through, most)
    exact_plate[concerned] = np.maximum(darker, 0)
    return Matte(exact_alpha, exact_plate)


def _mirror(picture: Picture, known: FloatArray, smooth: float) -> tuple[FloatArray, FloatArray]:
    """Mirror the known pixels into the unknown ones; also returns 1 where the mirrored pixel was itself known, else 0."""
    _, labels = cv2.distanceTransformWithLabels(
        (known == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], axis=-1)
    x, y = np.meshgrid(np.arange(known.shape[1], dtype=np.float32), np.arange(known.shape[0], dtype=np.float32))
    here = np.dstack([x, y])
    # Smoothed, as the nearest pixel jumps from one side of a corner to the other.
    places = here + 2 * blur_widely(nearest[labels] - here, smooth)
    inside = (places >= 0).all(axis=-1) & (places[..., 0] < known.shape[1]) & (places[..., 1] < known.shape[0])
    sure = blur_widely(sample(known, places) * inside, smooth / 2)
    return sample(picture, places).astype(np.float32), sure


def _push_pull(weighted: FloatArray, weight: FloatArray) -> FloatArray:
    height, width = weight.shape
    if min(height, width) <= 2 or (weight > 0).all():
        return np.asarray(weighted / on_colours(np.maximum(weight, 1e-6)), np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    small = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA), np.float32)
    small_weight = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = cv2.resize(_push_pull(small, small_weight), (width, height), interpolation=cv2.INTER_LINEAR)
    own = weighted / on_colours(np.maximum(weight, 1e-6))
    return np.asarray(coarse + on_colours(np.minimum(weight, 1.0)) * (own - coarse), np.float32)


def background_share(background: Picture, alpha: cv2.typing.MatLike) -> Picture:
    """Compute (1 - alpha) * background, uint8, rounded as `stages.encode.layers` rounds it."""
    through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(background, through, scale=1 / 255), np.uint8)
