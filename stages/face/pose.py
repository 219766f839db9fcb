"""Measures the head's pose from the mesh's depth.

Calibrated on eleven portraits: in a frontal head the line from forehead to chin is at 8° to the picture plane, because the chin
lies behind the forehead; this is subtracted from the pitch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.face.mesh import CHIN, FOREHEAD, MIRRORED, FloatArray

_FRONTAL_PITCH_DEG = 8.0


class Pose(NamedTuple):
    """The head's pose in degrees. yaw > 0: it faces the picture's right; pitch > 0: down; roll > 0: clockwise."""

    yaw: float
    pitch: float
    roll: float

    @property
    def tilt(self) -> float:
        """The larger of the roll and of the pitch beyond a harmless 5°, in degrees."""
        return max(abs(self.roll), abs(self.pitch) - 5.0)


def pose_of(landmarks: FloatArray) -> Pose:
    """Measure the pose of a mesh, [478, 3] px."""
    across = np.zeros(3)
    for left, right in MIRRORED:
        edge = landmarks[right] - landmarks[left]
        across += edge / np.linalg.norm(edge)
    down = landmarks[CHIN] - landmarks[FOREHEAD]
    yaw = np.degrees(np.arctan2(across[2], across[0]))
    pitch = np.degrees(np.arctan2(down[2], np.hypot(down[0], down[1]))) - _FRONTAL_PITCH_DEG
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return Pose(float(yaw), float(pitch), float(roll))
