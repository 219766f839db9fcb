"""Measures the head's pose from its mesh.

Yaw and roll come from pairs of mirrored points. The pitch comes from a rigid head fitted to points that no expression moves: a
smile lifts the cheeks, pulls the chin, and even changes the depth of the mesh, so that chin and depth say "looks up" for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.face.mesh import MIRRORED, FloatArray

#: The rigid head: points on the middle line as (index, down, depth), and pairs of mirrored points as (left, right, across, down,
#: depth), in distances between the eyes' outer corners; a smaller depth is nearer. It is the mean of the meshes of 99 synthetic
#: faces, made symmetric, and upright: their median pitch is 0.
_MIDDLE = (
    (10, -0.508, -0.244), (151, -0.330, -0.281), (9, -0.136, -0.309), (8, -0.040, -0.293), (168, 0.044, -0.288),
    (6, 0.132, -0.338), (197, 0.214, -0.394), (195, 0.290, -0.456), (5, 0.371, -0.519), (4, 0.471, -0.546),
)  # fmt: skip
_SIDES = (
    (33, 263, 0.500, 0.084, -0.031), (133, 362, 0.195, 0.106, -0.093), (127, 356, 0.798, 0.137, 0.537),
    (234, 454, 0.792, 0.301, 0.592), (93, 323, 0.782, 0.468, 0.600), (21, 251, 0.744, -0.173, 0.269),
    (54, 284, 0.672, -0.302, 0.127), (103, 332, 0.561, -0.404, -0.019), (67, 297, 0.393, -0.471, -0.148),
)  # fmt: skip
_RIGID = [index for index, *_ in _MIDDLE] + [index for left, right, *_ in _SIDES for index in (left, right)]
_HEAD = np.array(
    [(0.0, down, depth) for _, down, depth in _MIDDLE]
    + [(side * across, down, depth) for *_, across, down, depth in _SIDES for side in (-1, 1)]
)
#: Projects picture points, relative to their mean, on the head's axes.
_FIT = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


class Pose(NamedTuple):
    """The head's pose in degrees. yaw > 0: it faces the picture's right; pitch > 0: down; roll > 0: clockwise."""

    yaw: float
    pitch: float
    roll: float


def pose_of(landmarks: FloatArray) -> Pose:
    """Measure the pose of a mesh, [478, 3] px."""
    across = np.zeros(3)
    for left, right in MIRRORED:
        edge = landmarks[right] - landmarks[left]
        across += edge / np.linalg.norm(edge)
    yaw = np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1])))
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return Pose(float(yaw), _pitch(landmarks), float(roll))


def _pitch(landmarks: FloatArray) -> float:
    """Fit the rigid head, seen from far away, to where the points lie in the picture."""
    points = landmarks[_RIGID, :2].astype(np.float64)
    axes = (_FIT @ (points - points.mean(axis=0))).T  # picture's x and y of the head's three axes, [2, 3]
    u, _, v = np.linalg.svd(axes, full_matrices=False)
    x, y = u @ v  # the nearest two rows of a rotation
    depth = np.cross(x, y)  # how far each axis of the head points away from the viewer
    return float(np.degrees(np.arctan2(depth[1], np.hypot(x[1], y[1]))))
