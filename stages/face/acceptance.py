"""Chooses the face to animate and checks that it can be animated. Each error says what to change."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daemon.config.stage_settings import FaceStage
from daemon.errors import JobError
from stages.face import mesh
from stages.face.clarity import Clarity
from stages.face.detect import Face
from stages.face.pose import Pose

#: Mesh points that must lie inside the picture: lids, lips, chin.
_REQUIRED_POINTS = (
    *(index for eye in mesh.EYES for lid in eye[:2] for index in lid),
    *mesh.UPPER_LIP_OUTER,
    *mesh.LOWER_LIP_OUTER,
    mesh.CHIN,
)

#: `Clarity.brightest`: below the first the face is refused, below the second there is a warning.
_TOO_DARK, _DARK = 30, 85
#: `Clarity.clipped`: above the first the face is refused, above the second there is a warning.
_TOO_BRIGHT, _BRIGHT = 0.4, 0.12
#: `Clarity.detail_px`: below the first the face is refused, below the second there is a warning.
_TOO_SOFT_PX, _SOFT_PX = 45, 120
#: `Clarity.lips_unsure` and `eyes_unsure`. On 111 good portraits the largest were 3.2 and 3.2; under 541 masks 99 % of the first
#: were above 5.1; on monkeys both were large.
_LIPS_UNSURE, _EYES_UNSURE = 4.5, 3.3
#: `Clarity.lip_side_unsure` above which a part of the mouth may be covered: exceeded by 1 % of good portraits. So it may be above
#: this `lips_differ` with this `lips_unsure`: something dark before one lip gives at least 25 and 2.7, and a lower lip that is
#: paler than the upper one 20 and 1.8.
_SIDE_UNSURE, _LIPS_DIFFER, _DIFFER_UNSURE = 4.5, 15.0, 2.5
#: The mouth is covered above so much of `Clarity.lips_unsure` if `Clarity.lip_contrast` is below: at least 6 on good portraits,
#: at most 2 on 99 % of masks.
_COVERED = ((3.2, 1.5), (_LIPS_UNSURE, 4.0), (7.0, math.inf))


class Caution(NamedTuple):
    """What may spoil a picture that is accepted: a stable code, and a sentence for the status."""

    code: str
    sentence: str


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
            f"Set `face` to a number from 0 to {len(faces) - 1}, or to `largest`."
            if len(faces) > 1
            else "Leave `face` out, or use a picture that shows the other people too.",
        )
    return faces[int(choice)]


def _centrality(face: Face, width: int, height: int) -> float:
    """How central a face is: 1 in the middle of the picture, 0.5 in its corners."""
    x, y = face.center
    return 1.0 - 0.5 * math.hypot(2 * x / width - 1, 2 * y / height - 1) / math.sqrt(2)


def check_face(face: Face, scale: float, width: int, height: int, limits: FaceStage) -> None:
    """Check that a face is large enough, certain, and wholly in the picture.

    Args:
        face: the face, in px of this picture.
        scale: pixels of the file per pixel of this picture.
        width, height: size of this picture, px.
        limits: the settings of the stage.

    Raises:
        JobError: `face-too-small`, `face-unsure`, `face-cut-off`.
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


def check_view(pose: Pose, clarity: Clarity, limits: FaceStage) -> list[Caution]:
    """Check that a face can be seen well enough to be animated, and return what may spoil its video.

    Raises:
        JobError: `face-turned`, `face-tilted`, and those of `_check_clarity`.
    """
    if abs(pose.yaw) > limits.max_yaw_deg:
        side = "right" if pose.yaw > 0 else "left"
        raise JobError(
            "face-turned",
            f"The head is turned {_over(pose.yaw)}° to the picture's {side}; "
            f"at most {limits.max_yaw_deg:.0f}° can be animated.",
            "Use a picture that shows the face more from the front.",
        )
    if abs(pose.roll) > limits.max_tilt_deg:
        raise _tilted(f"leans {_over(pose.roll)}° sideways", limits.max_tilt_deg)
    cautions = _check_clarity(clarity)  # before the pitch, which cannot be measured under a mask
    if abs(pose.pitch) > limits.max_pitch_deg:
        raise _tilted(f"looks {_over(pose.pitch)}° {'down' if pose.pitch > 0 else 'up'}", limits.max_pitch_deg)
    return cautions


def _over(angle: float) -> int:
    """Return an angle over a limit in whole degrees, which is not the limit itself."""
    return math.ceil(abs(angle))


def _tilted(how: str, most: float) -> JobError:
    return JobError(
        "face-tilted",
        f"The head {how}; at most {most:.0f}° can be animated.",
        "Use a picture with the head upright, or rotate it first.",
    )


def _check_clarity(clarity: Clarity) -> list[Caution]:
    """Check light, detail and mouth.

    Raises:
        JobError: `face-dark`, `face-overexposed`, `face-blurred`, `face-unclear`, `mouth-covered`.
    """
    dark, bright = f"{clarity.brightest / 2.55:.0f} %", f"{clarity.clipped * 100:.0f} %"
    if clarity.brightest < _TOO_DARK:
        raise JobError(
            "face-dark",
            f"The face is too dark: its lightest parts reach {dark} of full brightness.",
            "Use a picture with more light on the face, or brighten it in an image editor.",
        )
    if clarity.clipped > _TOO_BRIGHT:
        raise JobError(
            "face-overexposed",
            f"The face is overexposed: {bright} of it is plain white.",
            "Use a picture with less light on the face, or a shorter exposure.",
        )
    if clarity.detail_px < _TOO_SOFT_PX:
        raise JobError(
            "face-blurred",
            f"The face is blurred or was enlarged: it shows no more detail than a sharp face of {clarity.detail_px:.0f} px.",
            "Use a sharp picture, in the size in which it was taken.",
        )
    if clarity.lips_unsure > _LIPS_UNSURE and clarity.eyes_unsure > _EYES_UNSURE:
        raise JobError(
            "face-unclear",
            "Eyes and mouth cannot be made out reliably; perhaps it is no human face, or it is hidden, painted or in shadow.",
            "Use an evenly lit picture of a human face with nothing in front of it.",
        )
    if any(clarity.lips_unsure > unsure and clarity.lip_contrast < contrast for unsure, contrast in _COVERED):
        raise JobError(
            "mouth-covered",
            "The mouth cannot be made out; perhaps a mask, a hand or a microphone covers it.",
            "Use a picture in which the whole mouth can be seen.",
        )
    found = []
    if clarity.brightest < _DARK:
        found.append(Caution("face-dark", f"The face is dark: its lightest parts reach {dark} of full brightness."))
    if clarity.clipped > _BRIGHT:
        found.append(Caution("face-overexposed", f"The face is overexposed: {bright} of it is plain white."))
    if clarity.detail_px < _SOFT_PX:
        found.append(
            Caution(
                "face-blurred",
                f"The face shows no more detail than a sharp face of {clarity.detail_px:.0f} px; use a sharper picture.",
            )
        )
    one_lip = clarity.lips_differ > _LIPS_DIFFER and clarity.lips_unsure > _DIFFER_UNSURE
    if clarity.lip_side_unsure > _SIDE_UNSURE or one_lip:
        found.append(
            Caution(
                "mouth-unclear",
                "A part of the mouth is hard to make out; use a picture with nothing before or near the mouth.",
            )
        )
    return found
