"""Chooses the face to animate and checks that it can be animated. Each error says what to change."""

from __future__ import annotations

import math

import numpy as np

from daemon.config.stage_settings import FaceStage
from daemon.errors import JobError
from stages.face import mesh
from stages.face.detect import Face
from stages.face.pose import Pose, pose_of

#: Mesh points that must lie inside the picture: lids, lips, chin.
_REQUIRED_POINTS = (
    *(index for eye in mesh.EYES for lid in eye[:2] for index in lid),
    *mesh.UPPER_LIP_OUTER,
    *mesh.LOWER_LIP_OUTER,
    mesh.CHIN,
)


def choose_face(faces: list[Face], choice: str, width: int, height: int) -> Face:
    """Choose the face that the manifest's `face` names.

    Args:
        faces: faces from left to right.
        choice: "largest", "center", or an index into `faces`.
        width, height: size of the picture, px.

    Raises:
        JobError: `no-face`, `face-index`.
    """
    if not faces:
        raise JobError(
            "no-face",
            "No human face was found in the picture.",
            "Use a picture in which one face looks at the camera, upright and well lit.",
        )
    if choice == "largest":
        return max(faces, key=lambda face: face.box[2] * face.box[3] * _centrality(face, width, height))
    if choice == "center":
        return max(faces, key=lambda face: _centrality(face, width, height))
    if int(choice) >= len(faces):
        raise JobError(
            "face-index",
            f"The manifest asks for face {choice}, but the picture shows {len(faces)} (numbered from 0, from the left).",
            f"Set `face` to a number from 0 to {len(faces) - 1}, or to `largest`.",
        )
    return faces[int(choice)]


def _centrality(face: Face, width: int, height: int) -> float:
    """How central a face is: 1 in the middle of the picture, 0.5 in its corners."""
    x, y = face.center
    return 1.0 - 0.5 * math.hypot(2 * x / width - 1, 2 * y / height - 1) / math.sqrt(2)


def check_face(face: Face, scale: float, width: int, height: int, limits: FaceStage) -> Pose:
    """Check that a face can be animated, and return its pose.

    Args:
        face: the face, in px of this picture.
        scale: pixels of the file per pixel of this picture.
        width, height: size of this picture, px.
        limits: the settings of the stage.

    Raises:
        JobError: `face-too-small`, `face-unsure`, `face-cut-off`, `face-turned`, `face-tilted`.
    """
    face_px = face.size_px * scale
    if face_px < limits.min_face_px:
        raise JobError(
            "face-too-small",
            f"The face is {face_px:.0f} px large; at least {limits.min_face_px} px are needed.",
            "Use a larger picture, or a closer one.",
        )
    if face.score < limits.min_confidence:
        raise JobError(
            "face-unsure",
            f"The face was detected with a confidence of {face.score:.2f}; at least {limits.min_confidence:.2f} is needed.",
            "Use a sharper, brighter picture with nothing in front of the face.",
        )
    points = face.landmarks[list(_REQUIRED_POINTS), :2]
    if (points < 1).any() or (points > np.array([width - 2, height - 2])).any():
        raise JobError(
            "face-cut-off",
            "Eyes, mouth or chin lie outside the picture.",
            "Use a picture that shows the whole face with a little room around it.",
        )
    return _check_pose(pose_of(face.landmarks), limits)


def _check_pose(pose: Pose, limits: FaceStage) -> Pose:
    if abs(pose.yaw) > limits.max_yaw_deg:
        side = "right" if pose.yaw > 0 else "left"
        raise JobError(
            "face-turned",
            f"The head is turned {abs(pose.yaw):.0f}° to the picture's {side}; "
            f"at most {limits.max_yaw_deg:.0f}° can be animated.",
            "Use a picture that shows the face more from the front.",
        )
    if pose.tilt > limits.max_tilt_deg:
        how = f"leans {abs(pose.roll):.0f}° sideways" if abs(pose.roll) >= pose.tilt else (
            f"looks {abs(pose.pitch):.0f}° {'down' if pose.pitch > 0 else 'up'}")  # fmt: skip
        most = limits.max_tilt_deg + (0 if abs(pose.roll) >= pose.tilt else 5)
        raise JobError(
            "face-tilted",
            f"The head {how}; at most {most:.0f}° can be animated.",
            "Use a picture with the head upright, or rotate it first.",
        )
    return pose
