"""Displacement fields of the brows and the cheeks, which both layers of the mouth share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.rig.face_frame import FaceFrame, smoothstep

Grid = npt.NDArray[np.float64]

_BROW = 0.060  # of the face's width
#: A brow rises by at most this fraction of its distance from the lid, so that the skin between them is not drawn into streaks.
_BROW_MOST = 0.75
#: A smile lifts the cheeks, a frown lowers and joins the inner ends of the brows: displacement and reach, of the face's width.
_CHEEK_UP, _CHEEK_REACH = 0.026, 0.13
_FROWN_DOWN, _FROWN_IN, _FROWN_REACH = 0.020, 0.014, 0.10


def upper_face_fields(frame: FaceFrame, landmarks: Grid, x: Grid, y: Grid) -> dict[str, Grid]:
    """Compute the fields of brows and cheeks at full strength, by the names of their parameters.

    Args:
        frame: the face.
        landmarks: its points, px, in the face's coordinates.
        x, y: where the fields are computed, px, in the face's coordinates, [rows, columns] each.

    Returns:
        Displacements across and down, px, [rows, columns, 2] each.
    """
    return {
        "brow_left": _brow(frame, landmarks, x, y, 0),
        "brow_right": _brow(frame, landmarks, x, y, 1),
        "cheeks": _cheeks(frame, landmarks, x, y),
        "frown": _frown(frame, landmarks, x, y),
    }


def _brow(frame: FaceFrame, landmarks: Grid, x: Grid, y: Grid, side: int) -> Grid:
    """The brow and the forehead above it rise; the lid below stays."""
    upper_lid, _, brow = mesh.EYES[side]
    line = landmarks[list(brow)]
    line = line[np.argsort(line[:, 0])]
    lid = landmarks[list(upper_lid), 1].mean()
    height = np.interp(x, line[:, 0], line[:, 1])
    width = line[-1, 0] - line[0, 0]
    middle = (line[0, 0] + line[-1, 0]) / 2
    across = 1.0 - smoothstep((np.abs(x - middle) / width - 0.35) / 0.55)
    over_lid = smoothstep((lid - 0.1 * (lid - height) - y) / np.maximum(0.8 * (lid - height), 1.0))
    forehead = 1.0 - smoothstep((height - y - 0.06 * frame.face_height) / (0.30 * frame.face_height))
    rise = min(_BROW * frame.face_width, _BROW_MOST * float(lid - line[:, 1].mean()))
    shift = np.zeros((*x.shape, 2))
    shift[..., 1] = -max(rise, 0.0) * across * over_lid * forehead
    return shift


def _cheeks(frame: FaceFrame, landmarks: Grid, x: Grid, y: Grid) -> Grid:
    """The cheeks below the eyes rise."""
    shift = np.zeros((*x.shape, 2))
    for index in (50, 280):
        shift[..., 1] -= _CHEEK_UP * frame.face_width * _near(x, y, landmarks[index], _CHEEK_REACH * frame.face_width)
    return shift


def _frown(frame: FaceFrame, landmarks: Grid, x: Grid, y: Grid) -> Grid:
    """The inner ends of the brows come down and together."""
    width, shift = frame.face_width, np.zeros((*x.shape, 2))
    for side, index in ((1, mesh.EYES[0][2][-1]), (-1, mesh.EYES[1][2][0])):
        near = _near(x, y, landmarks[index], _FROWN_REACH * width)
        shift[..., 0] += side * _FROWN_IN * width * near
        shift[..., 1] += _FROWN_DOWN * width * near
    return shift


def _near(x: Grid, y: Grid, point: Grid, reach: float) -> Grid:
    """1 at a point, fading within `reach`, px."""
    return np.asarray(np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / reach**2))
