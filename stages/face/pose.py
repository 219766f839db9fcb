"""How the head is turned, from the mesh's own depth.

Calibrated on eleven portraits: a frontal head shows 8° between the line forehead–chin and the picture plane, because the
chin lies behind the forehead; that is taken off the pitch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.face.mesh import CHIN, FOREHEAD, MIRRORED, FloatArray

_FRONTAL_PITCH_DEG = 8.0


class Pose(NamedTuple):
    """Degrees. yaw > 0: the head's front points to the picture's right; pitch > 0: down; roll > 0: clockwise."""

    yaw: float
    pitch: float
    roll: float

    @property
    def tilt(self) -> float:
        """How far from upright: sideways, or up and down beyond the 5° that do no harm."""
        return max(abs(self.roll), abs(self.pitch) - 5.0)


def pose_of(landmarks: FloatArray) -> Pose:
    """The pose of a mesh, [478, 3] in px."""
    across = np.zeros(3)
    for left, right in MIRRORED:
        edge = landmarks[right] - landmarks[left]
        across += edge / np.linalg.norm(edge)
    down = landmarks[CHIN] - landmarks[FOREHEAD]
    yaw = np.degrees(np.arctan2(across[2], across[0]))
    pitch = np.degrees(np.arctan2(down[2], np.hypot(down[0], down[1]))) - _FRONTAL_PITCH_DEG
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return Pose(float(yaw), float(pitch), float(roll))
