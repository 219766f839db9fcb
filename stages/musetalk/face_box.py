"""Computes the box of a face that the network sees, from its landmarks.

The network was trained on boxes around the 68 iBUG landmarks, from the sides of the jaw to the chin, with landmark 29 on the
bridge of the nose as the vertical middle; the half below it is painted. Here these points are computed from mediapipe's mesh, by
a mapping fitted to 34 faces on which both were measured (errors of 1 to 2 % of the box's height).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.errors import JobError
from stages.face.mesh import CHIN, LEFT_SIDE, OVAL, RIGHT_SIDE

FloatArray = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]

#: The bridge of the nose: mesh points from the inner corners of the eyes down to the tip.
_P6, _P197, _P195, _P5, _P4 = 6, 197, 195, 5, 4
#: The lower half of the face's outline, from ear to ear: iBUG's landmarks 0 to 16.
JAW = OVAL[OVAL.index(RIGHT_SIDE) : OVAL.index(LEFT_SIDE) + 1]
#: v1.5 sees 10 px more below the chin, as a fraction of the height of its training faces (about 240 px).
CHIN_MARGIN = 10 / 240
#: Minimum side of the box, px.
_LEAST_SIDE = 32


@dataclass(frozen=True)
class BoxLandmarks:
    """The landmarks that define the box: left, right and bottom of the jaw, and y of three points on the nose's bridge, px."""

    left: int
    right: int
    chin: int
    nose_28: int
    nose_29: int
    nose_30: int


def box_landmarks_of_68(points: npt.NDArray[np.float64]) -> BoxLandmarks:
    """Compute them from iBUG landmarks, [68, 2] px, rounded down as in the reference."""
    whole = points.astype(np.int32)
    x, y = whole[:, 0], whole[:, 1]
    return BoxLandmarks(int(x.min()), int(x.max()), int(y.max()), int(y[28]), int(y[29]), int(y[30]))


def box_landmarks_of_mesh(landmarks: FloatArray) -> BoxLandmarks:
    """Compute them from mediapipe's landmarks, [478, 2 or 3] px."""
    x, y = landmarks[list(JAW), 0], landmarks[:, 1]
    return BoxLandmarks(
        left=int(x.min()),
        right=int(x.max()),
        chin=int(y[CHIN]),
        nose_28=int(0.4 * y[_P6] + 0.6 * y[_P197]),
        nose_29=int(0.6 * y[_P195] + 0.4 * y[_P5]),
        nose_30=int(y[_P4]),
    )


def face_box(anchors: BoxLandmarks, shift: int = 0, fallback: Box | None = None) -> Box:
    """Compute the box (x1, y1, x2, y2), whose vertical middle is the nose's bridge.

    Args:
        anchors: the landmarks that define it.
        shift: px by which the middle is moved down (v1.0).
        fallback: returned if the landmarks give no valid box (left of the picture, or upside down).
    """
    middle = anchors.nose_29 + shift
    top = max(0, int(middle - (anchors.chin - middle)))
    box = (anchors.left, top, anchors.right, anchors.chin)
    if fallback is not None and (box[0] < 0 or box[2] <= box[0] or box[3] <= box[1]):
        return fallback
    return box


def portrait_box(landmarks: FloatArray, size: tuple[int, int], *, chin_margin: float, shift: int = 0) -> Box:
    """Compute the box of a portrait, cut to the picture.

    Args:
        landmarks: [478, 2 or 3] px.
        size: width and height of the picture, px.
        chin_margin: fraction of the box's height added below the chin.
        shift: as in `face_box`.

    Raises:
        JobError: `face-cut-off`: too little of the lower face is in the picture.
    """
    x1, y1, x2, y2 = face_box(box_landmarks_of_mesh(landmarks), shift)
    margin = round(chin_margin * (y2 - y1))
    inside = max(x1, 0), y1, min(x2, size[0]), min(y2 + margin, size[1])
    if min(inside[2] - inside[0], inside[3] - inside[1]) < _LEAST_SIDE:
        raise JobError(
            "face-cut-off",
            "Too little of the face is in the picture to paint its mouth.",
            "Use a portrait that shows the whole face, or ask whoever runs avatard to set `stages.lipsync.engine: warp`.",
        )
    return inside
