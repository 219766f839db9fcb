"""Finds the lower rims of glasses, below which the mouth's movements must end: skin stretches with the cheeks, a rim does not."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, smoothstep
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]

#: The eyes' corners and the middle of the lower lid, in the picture's order.
_EYES = ((33, 133, 145), (362, 263, 374))
#: How far below the lower lid a rim begins to be looked for, and how far below the corners no more; of the face's width.
_NEAREST, _FARTHEST = 0.03, 0.25
#: Places along the eye and below it that are looked at; the thickness of the lines that are found, in the latter.
_ALONG, _DOWN, _THICK = 48, 40, 11
#: A rim is darker than the skin beside it by this part of the skin's tone at least, on all but a part of its length.
_DARKER, _HIDDEN = 0.2, 30
#: Where the movements have ended above the mouth, in units of the mouth below the rim; where the ramp begins above the lips.
_CLEAR, _LIPS = 0.04, 0.05
#: How far brows move behind an upper rim, which is drawn along.
_BROWS = 0.3


def find_rim(portrait: npt.NDArray[np.uint8], landmarks: FloatArray, frame: FaceFrame) -> float | None:
    """The lowest place of both lower rims, as the face's `down` coordinate, px; None without glasses that have such rims.

    Args:
        portrait: RGB uint8 [height, width, 3].
        landmarks: [478, 3] px.
        frame: the face's coordinates.
    """
    grey = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), np.uint8)
    darker, lowest = zip(*(_line_below(grey, landmarks, eye, frame) for eye in _EYES), strict=True)
    return max(lowest) if sum(darker) / len(darker) > _DARKER else None


def _line_below(
    grey: npt.NDArray[np.uint8], landmarks: FloatArray, eye: tuple[int, int, int], frame: FaceFrame
) -> tuple[float, float]:
    """How much darker than the skin the darkest line along an eye is, 0 to 1, and its lowest place, `down`, px."""
    start, end, lid = (frame.local(landmarks[point, :2]) for point in eye)
    x = np.linspace(start[0], end[0], _ALONG)
    corners = np.interp(x, [start[0], end[0]], [start[1], end[1]])
    middle = (start[1] + end[1]) / 2
    nearest = max(lid[1] - middle, 0) + _NEAREST * frame.face_width
    y = np.linspace(nearest, max(_FARTHEST * frame.face_width, nearest + 1), _DOWN)[:, None] + corners
    places = frame.picture(np.stack([np.broadcast_to(x, y.shape), y], axis=-1)).astype(np.float32)
    seen = blur(sample(grey, places).astype(np.float32), 0.7)
    closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((_THICK, 1), np.uint8))
    darker = closed - seen
    path = _best_path(np.asarray(darker, np.float32))
    along = np.arange(_ALONG)
    return float(np.percentile(darker[path, along], _HIDDEN) / max(np.median(seen), 1)), float(y[path, along].max())


def _best_path(values: FloatArray) -> npt.NDArray[np.intp]:
    """The row in each column of the path with the largest sum that changes by one row at most, [columns]."""
    total = values.copy()
    for column in range(1, values.shape[1]):
        before = np.pad(total[:, column - 1], 1, constant_values=-np.inf)
        total[:, column] += np.max([before[:-2], before[1:-1], before[2:]], axis=0)
    path = [int(total[:, -1].argmax())]
    for column in range(values.shape[1] - 2, -1, -1):
        near = range(max(path[-1] - 1, 0), min(path[-1] + 2, len(values)))
        path.append(max(near, key=lambda row: float(total[row, column])))
    return np.array(path[::-1])


def share_below(rim: float, name: str, points: Grid, frame: FaceFrame) -> Grid:
    """How much of an expression's field stays at these points under a rim: 0 to 1, [rows, columns].

    Args:
        rim: as of `find_rim`.
        name: of the expression.
        points: of the picture, [rows, columns, 2] px.
        frame: the face's coordinates.
    """
    down = frame.local(points)[..., 1]
    if name in ("brow_left", "brow_right", "frown"):
        return np.full(down.shape, _BROWS)
    first, last = rim + _CLEAR * frame.unit, -_LIPS * frame.unit
    return smoothstep((down - first) / max(last - first, 0.1 * frame.unit))
