"""Locates the shadow of the folds between nose and mouth, which deepen when the mouth widens or opens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.sampling import blur

Picture = npt.NDArray[np.uint8]

#: From the wing of the nose to beside the mouth's corner, on both sides.
_FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))
#: Blur of the shadow's sharp core and of its soft surroundings, in face widths, and the core's share of the whole.
_CORE, _SOFT, _CORE_PART = 0.008, 0.035, 0.55
_POINTS = 40  # along a fold


@dataclass(frozen=True)
class Crease:
    """The folds' shadow: left and upper edge of its box in the portrait, px, and its depth, 0 to 255, uint8 [height, width]."""

    origin: tuple[int, int]
    depth: Picture


def find_creases(landmarks: FloatArray, size: tuple[int, int]) -> Crease:
    """Find both folds of a mesh, [478, 3] px, in a picture of `size` (width, height)."""
    width = float(np.ptp(landmarks[list(mesh.OVAL), 0]))
    lines = [_curve(landmarks[list(fold), :2]) for fold in _FOLDS]
    points = np.concatenate([line for line, _ in lines])
    margin = 3 * _SOFT * width
    left, top = (int(max(0, np.floor(value))) for value in points.min(axis=0) - margin)
    right, bottom = (
        int(min(most, np.ceil(value))) for most, value in zip(size, points.max(axis=0) + margin, strict=True)
    )
    depth = np.zeros((bottom - top, right - left), np.float32)
    for line, strength in lines:
        one = np.zeros_like(depth)
        for start, end, level in zip(line[:-1], line[1:], strength, strict=False):
            ends = [tuple(int(v) for v in np.round(point - (left, top))) for point in (start, end)]
            cv2.line(one, ends[0], ends[1], (float(level),), 1, cv2.LINE_AA)
        core, soft = (blur(one, max(0.6, part * width)) for part in (_CORE, _SOFT))
        for part, share in ((core, _CORE_PART), (soft, 1 - _CORE_PART)):
            depth += share * part / max(float(part.max()), 1e-6)
    return Crease((left, top), np.asarray(np.clip(depth * 255, 0, 255), np.uint8))


def _curve(points: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A smooth line through the points, [n, 2], and the depth along it, [n], which is 0 at both ends."""
    knots = np.linspace(0, 1, len(points))
    along = np.linspace(0, 1, _POINTS)
    line = np.stack([np.polyval(np.polyfit(knots, points[:, axis], 2), along) for axis in (0, 1)], axis=1)
    return line, np.sin(np.pi * along)
