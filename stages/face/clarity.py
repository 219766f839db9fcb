"""Measures whether a face can be seen well: light, real detail, and how sure the mesh is of what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.detect import Face
from stages.face.mesh import FloatArray

#: Longest side of the crop that is measured, px.
_CROP_PX = 512
#: A channel from this value on is clipped.
_CLIPPED = 250
#: Of each band of detail, edges stronger than this share of the pixels, less so many times the median, which is noise.
_EDGES_PERCENT, _NOISE = 97, 3.2
#: Part of a band's strength that is always taken for edges: strong noise may hide them.
_HIDDEN = 0.2
#: Bands of a face of so many px are the reference: eyes, nose and mouth. A band with less than `_FAINT` of their edges shows no
#: detail.
_COARSEST_PX, _REFERENCE_PX, _FAINT = 20, 80, 0.15
#: A softened face of x px is found to have detail up to 2.2 x, as a filter's edge is not sharp. Measured on faces that were
#: scaled down and up again.
_OVERREACH = 2.2
#: Pictures are often this much softer than their pixels allow.
_USUAL_SOFTNESS = 0.65

_UPPER_LIP = (*mesh.UPPER_LIP_OUTER, *mesh.UPPER_LIP_INNER[::-1])
_LOWER_LIP = (*mesh.LOWER_LIP_OUTER, *mesh.LOWER_LIP_INNER[::-1])
_ABOVE_LIPS = (167, 164, 393, 391, 327, 2, 98, 165)
_BELOW_LIPS = (83, 18, 313, 428, 199, 208)
_LIPS, _LIP_MIDDLE = (*_UPPER_LIP, *_LOWER_LIP), 13
_LIDS = tuple(index for upper, lower, _ in mesh.EYES for index in (*upper, *lower))


@dataclass(frozen=True)
class Clarity:
    """How well a face can be seen.

    Attributes:
        brightest: luma that 5 % of the face exceed, 0 to 255.
        clipped: part of the face that is white, 0 to 1.
        detail_px: the size of a sharp face with as much detail, px.
        lips_unsure, eyes_unsure: mean of `Face.unsure` over the lips and the lids.
        lip_side_unsure: the same over the left or the right half of the lips, whichever is larger.
        lip_contrast: difference in lightness and redness between the lips and the skin around them, Lab units.
        lips_differ: difference in redness between the upper and the lower lip, Lab units.
    """

    brightest: float
    clipped: float
    detail_px: float
    lips_unsure: float
    eyes_unsure: float
    lip_side_unsure: float
    lip_contrast: float
    lips_differ: float


def measure_clarity(picture: npt.NDArray[np.uint8], face: Face) -> Clarity:
    """Measure a face of an RGB picture, uint8 [height, width, 3]."""
    crop, points = _face_crop(picture, face.landmarks)
    inside = _filled(crop, points[list(mesh.OVAL)])
    luma = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
    lips = face.unsure[list(_LIPS)]
    left = points[list(_LIPS), 0] < points[_LIP_MIDDLE, 0]
    contrast, differ = _lip_colours(crop, points)
    return Clarity(
        brightest=float(np.percentile(luma[inside], 95)),
        clipped=float((crop.min(axis=-1)[inside] >= _CLIPPED).mean()),
        detail_px=min(face.size_px, _detail(luma, inside)),
        lips_unsure=float(lips.mean()),
        eyes_unsure=float(face.unsure[list(_LIDS)].mean()),
        lip_side_unsure=float(max(lips[left].mean(), lips[~left].mean())),
        lip_contrast=contrast,
        lips_differ=differ,
    )


def _face_crop(
    picture: npt.NDArray[np.uint8], landmarks: FloatArray
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The face's part of the picture, scaled down to `_CROP_PX` if it is larger, and the landmarks in it, [478, 2] px."""
    points = landmarks[:, :2].astype(np.float64)
    low = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0)) + 1, picture.shape[1::-1]).astype(int)
    crop = picture[low[1] : high[1], low[0] : high[0]]
    factor = min(1.0, _CROP_PX / max(crop.shape[:2]))
    if factor < 1:
        crop = np.asarray(cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(crop), (points - low) * factor


def _filled(crop: npt.NDArray[np.uint8], outline: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where a polygon covers the crop, [height, width]; at least one pixel."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], (1,))
    return mask > 0


def _detail(luma: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_]) -> float:
    """The size in px of the sharp face that shows as much as this one; infinite if no detail is missing.

    Sharp pictures have edges of about the same strength at every scale. In a blurred or enlarged one, there are none in the bands
    of the finest detail, whatever noise or a JPEG's blocks put there.
    """
    bands = _edge_bands(luma, inside)
    reference, last = 1e-6, (0.0, 1.0)
    for px, edges in reversed(bands):
        reference = max(reference, edges) if px <= _REFERENCE_PX else reference
        part = edges / reference
        if last[0] and part < _FAINT:
            beyond = np.log(last[1] / _FAINT) / np.log(last[1] / max(part, 1e-3))
            reach = last[0] * 2.0**beyond
            return float("inf") if reach > _USUAL_SOFTNESS * bands[0][0] else float(reach) / _OVERREACH
        last = px, max(part, _FAINT)
    return float("inf")


def _edge_bands(luma: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    """The size of the face in px and the strength of the edges, for the picture and its reductions by 2, 4, 8 …"""
    level, size = luma.astype(np.float32), max(luma.shape)
    mask = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, size // 50)) > 0
    bands = []
    for halvings in range(6):
        if size / 2**halvings < _COARSEST_PX or not mask.any():
            break
        smooth = np.asarray(cv2.GaussianBlur(level, (5, 5), 1.0), np.float32)
        rest = level - smooth
        strength = np.abs(rest - cv2.GaussianBlur(rest, (5, 5), 1.0))[mask]
        noise, edges = np.percentile(strength, (50, _EDGES_PERCENT))
        clean = np.sqrt(max(edges**2 - (_NOISE * noise) ** 2, 0.0))
        bands.append((size / 2**halvings, float(max(clean, edges * _HIDDEN))))
        level, mask = smooth[::2, ::2], mask[::2, ::2]
    return bands


def _lip_colours(crop: npt.NDArray[np.uint8], points: npt.NDArray[np.float64]) -> tuple[float, float]:
    """`Clarity.lip_contrast` and `lips_differ`."""
    parts = [points[list(indices)] for indices in (_UPPER_LIP, _LOWER_LIP, _ABOVE_LIPS, _BELOW_LIPS)]
    corners = np.concatenate(parts)
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    piece = crop[low[1] : high[1], low[0] : high[0]]
    lab = cv2.cvtColor(piece.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    upper, lower, above, below = (np.median(lab[_filled(piece, part - low)], axis=0) for part in parts)
    difference = (upper + lower - above - below) / 2
    return float(np.hypot(difference[0], difference[1])), float(abs(lower[1] - upper[1]))
