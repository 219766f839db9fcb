"""How suddenly what is seen between the lips changes: teeth that vanish from one frame to the next are a pop.

Lips that move fast uncover and cover teeth fast, so a change counts by less the farther the lips move meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.video.measures import LOWER_INNER, UPPER_INNER, Faces
from stages.face import mesh
from stages.face.sampling import sample

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

#: Where the inside of the mouth is looked at, in parts of the way from the upper to the lower lip.
_DOWN = np.linspace(0.15, 0.85, 8, dtype=np.float32)
#: Least gap of both frames, and the movement of the lips at which a change counts half; mouth widths at rest.
_OPEN, _MOVES = 0.06, 0.04


@dataclass(frozen=True)
class Pop:
    """The largest change between the lips, levels of 255 in the mean, and the first of its two frames; nan and -1 without any."""

    levels: float
    frame: int


def worst_pop(frames: Iterable[Picture], faces: Faces) -> Pop:
    """Find the most sudden change of what is seen between the lips, in frames in BGR with their faces."""
    width = mesh.mouth_width(faces.full[0])
    shapes = [_shape(points) / width for points in faces.full]
    gaps = [mesh.lip_gap(points) * mesh.mouth_width(points) / width for points in faces.full]
    worst, before = Pop(float("nan"), -1), None
    for index, (frame, points) in enumerate(zip(frames, faces.full, strict=False)):
        seen = _inside(frame, points)
        if before is not None and min(gaps[index - 1 : index + 1]) >= _OPEN:
            moved = float(np.abs(shapes[index] - shapes[index - 1]).max())
            levels = float(np.abs(seen - before).mean()) / (1 + moved / _MOVES)
            if not worst.levels >= levels:
                worst = Pop(levels, index - 1)
        before = seen
    return worst


def _shape(points: FloatArray) -> FloatArray:
    """The gap's heights and the mouth's width, px."""
    heights = np.linalg.norm(points[list(UPPER_INNER), :2] - points[list(LOWER_INNER), :2], axis=1)
    return np.append(heights, mesh.mouth_width(points)).astype(np.float32)


def _inside(frame: Picture, points: FloatArray) -> FloatArray:
    """Brightness between the lips' inner edges, [rows, columns], levels."""
    upper, lower = points[list(UPPER_INNER), :2], points[list(LOWER_INNER), :2]
    places = upper[None] + _DOWN[:, None, None] * (lower - upper)[None]
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    return sample(grey, places.astype(np.float32)).astype(np.float32)
