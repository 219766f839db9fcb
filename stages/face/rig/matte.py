"""Which part of the portrait is the person: a soft matte, and the background as it would be without them.

With both, the person can move before a background that stands still, and can be put before another one. The picture is split
so that putting the parts together again gives the very same picture: picture = figure + (1 - matte) * background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]

#: The segmentation is sure only well inside and well outside: what lies between is spread over the whole range.
_LOW, _HIGH = 0.12, 0.88
#: Radius and strictness of the edge-following filter: parts of the picture's shorter side, and of the squared range of grey.
_RADIUS, _STRICT = 0.012, 4e-4
#: Most of the face must be seen as a person, else the segmentation has not understood the picture.
_LEAST_FACE = 0.9
#: The filled background begins this far from the person, in parts of the shorter side: nearer by, hair shines through.
_CLEAR = 0.02
#: Less of the person than this is none; less of a difference than that is noise. 8-bit levels
_FAINT, _LITTLE = 8, 6


@dataclass(frozen=True)
class Matte:
    """A portrait in two layers.

    Attributes:
        alpha: 255 where there is only the person, 0 where there is only the background; uint8 [height, width].
        plate: the background, filled in behind the person; uint8 [height, width, 3], in the portrait's own channel order.
    """

    alpha: Picture
    plate: Picture

    @classmethod
    def empty(cls) -> Matte:
        """Of a picture that cannot be split."""
        return cls(np.zeros((0, 0), np.uint8), np.zeros((0, 0, 3), np.uint8))

    def __bool__(self) -> bool:
        return bool(self.alpha.size)


def split(portrait: Picture, landmarks: FloatArray, person: FloatArray) -> Matte:
    """Split an RGB portrait; empty where the segmentation does not even find the face.

    Args:
        landmarks: [478, 3] px.
        person: how surely each pixel shows a person, 0 to 1.
    """
    face = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillConvexPoly(face, np.round(landmarks[list(mesh.OVAL), :2]).astype(np.int32), (1,))
    if not face.any() or float(person[face > 0].mean()) < _LEAST_FACE:
        return Matte.empty()
    side = min(portrait.shape[:2])
    alpha = _follow_edges(person, portrait, max(2, round(_RADIUS * side)))
    alpha = np.clip((alpha - _LOW) / (_HIGH - _LOW), 0, 1)
    alpha *= _near(alpha, face, max(2, round(_RADIUS * side)))
    alpha = np.maximum(alpha, _inner(face, side))
    matte = np.asarray(np.round(alpha * 255), np.uint8)
    matte[matte < _FAINT] = 0
    return _exact(portrait, matte, _fill(portrait, matte, max(1, round(_CLEAR * side))))


def _follow_edges(mask: FloatArray, picture: Picture, radius: int) -> FloatArray:
    """The guided filter (He, Sun and Tang, 2013): the mask's edges come to lie on the picture's own."""
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: npt.NDArray[Any]) -> FloatArray:
        return np.asarray(cv2.blur(values, window), np.float32)

    guide_mean, mask_mean = mean(guide), mean(mask)
    slope = (mean(guide * mask) - guide_mean * mask_mean) / (mean(guide * guide) - guide_mean**2 + _STRICT)
    offset = mask_mean - slope * guide_mean
    return np.asarray(mean(slope) * guide + mean(offset), np.float32)


def _near(alpha: FloatArray, face: Picture, radius: int) -> FloatArray:
    """1 on everything that hangs together with the face, 0 on what stands apart; soft between."""
    _, labels = cv2.connectedComponents((alpha > 0.5).astype(np.uint8) | face)
    found = labels[face > 0]
    own = (labels == np.bincount(found[found > 0]).argmax()).astype(np.uint8)
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(blur(cv2.dilate(own, kernel).astype(np.float32), radius / 2), np.float32)


def _inner(face: Picture, side: int) -> FloatArray:
    """The face itself is never see-through, whatever the segmentation thinks of a shadow on it."""
    eroded = cv2.erode(face, np.ones((3, 3), np.uint8), iterations=max(1, round(0.01 * side)))
    return np.asarray(blur(eroded.astype(np.float32), max(1.0, 0.004 * side)), np.float32)


def _fill(picture: Picture, alpha: Picture, clear: int) -> Picture:
    """The picture with the person filled in from around them: mirrored at the outline, so that what comes to light when the head
    moves has the background's own texture; deeper in, where nothing ever shows, by means of what is known.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * clear + 1, 2 * clear + 1))
    known = (cv2.dilate((alpha > 0).astype(np.uint8), kernel) == 0).astype(np.float32)
    if not known.any():
        return picture.copy()
    filled = _push_pull(picture.astype(np.float32) * known[..., None], known)
    mirrored, sure = _mirror(picture, known, 2 * clear)
    filled += sure[..., None] * (mirrored - filled)
    edge = blur(known, clear / 2)[..., None] * known[..., None]  # the picture's own where it is known, without a step
    plate = np.asarray(np.clip(filled + edge * (picture - filled) + 0.5, 0, 255), np.uint8)
    untouched = (alpha == 0) & (cv2.erode(known, kernel) > 0)
    plate[untouched] = picture[untouched]
    return plate


def _exact(picture: Picture, alpha: Picture, plate: Picture) -> Matte:
    """Where a pixel is darker than the background's share in it, the share is made to fit: by a background that is a little
    darker, or, where that is not enough, by more of the person than the segmentation saw, such as a strand of hair.
    """
    own = picture.astype(np.int32) * 255
    through = 255 - alpha.astype(np.int32)
    fitting = own // np.maximum(through, 1)[..., None]
    darker = np.maximum(np.minimum(plate, fitting), plate.astype(np.int32) - _LITTLE)
    most = np.where(darker > 0, own // np.maximum(darker, 1), 255).min(axis=-1)
    return Matte(np.asarray(255 - np.minimum(through, most), np.uint8), np.asarray(np.maximum(darker, 0), np.uint8))


def _mirror(picture: Picture, known: FloatArray, smooth: float) -> tuple[FloatArray, FloatArray]:
    """For every unknown pixel the one as far beyond the nearest known one; and 1 where that is itself known, 0 where not."""
    _, labels = cv2.distanceTransformWithLabels(
        (known == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], axis=-1)
    x, y = np.meshgrid(np.arange(known.shape[1], dtype=np.float32), np.arange(known.shape[0], dtype=np.float32))
    here = np.dstack([x, y])
    # Smoothed, as the nearest pixel jumps from one side of a corner to the other.
    shift = blur(nearest[labels] - here, smooth)
    places = here + 2 * np.asarray(shift, np.float32)
    inside = (places >= 0).all(axis=-1) & (places[..., 0] < known.shape[1]) & (places[..., 1] < known.shape[0])
    sure = blur(sample(known, places) * inside, smooth / 2)
    return sample(picture, places).astype(np.float32), np.asarray(sure, np.float32)


def _push_pull(weighted: FloatArray, weight: FloatArray) -> FloatArray:
    height, width = weight.shape
    if min(height, width) <= 2 or (weight > 0).all():
        return np.asarray(weighted / np.maximum(weight, 1e-6)[..., None], np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    small = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA), np.float32)
    small_weight = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = cv2.resize(_push_pull(small, small_weight), (width, height), interpolation=cv2.INTER_LINEAR)
    known = np.minimum(weight, 1.0)[..., None]
    own = weighted / np.maximum(weight, 1e-6)[..., None]
    return np.asarray(coarse + known * (own - coarse), np.float32)


def shade(background: Picture, alpha: cv2.typing.MatLike) -> Picture:
    """(1 - alpha) * background, rounded as the compositor rounds it."""
    through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(background, through, scale=1 / 255), np.uint8)
