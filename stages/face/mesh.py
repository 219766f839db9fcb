"""Indices of the 478 landmarks by part of the face, each list ordered from the picture's left to its right.

Source: the topology of mediapipe's face mesh with attention (468 surface points and 10 for the irises).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

POINT_COUNT = 478
#: `lid_openness` below which an eye is closed in the picture.
CLOSED_EYE = 0.08

UPPER_LIP_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_LIP_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_LIP_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

#: (upper lid, lower lid, brow) of the eye on the picture's left, then of the one on its right; corners included.
EYES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133), (46, 53, 52, 65, 55)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263),
     (285, 295, 282, 283, 276)),
)  # fmt: skip

#: Both brows.
BROWS = EYES[0][2] + EYES[1][2]
#: Middle and rim of the iris of the eye on the picture's left, then of the one on its right.
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))

#: Pairs of mirrored points, which give the direction of the head's horizontal axis.
MIRRORED = ((33, 263), (61, 291), (234, 454), (127, 356), (98, 327), (132, 361))

FOREHEAD, CHIN, NOSE_TIP, NOSE_BASE, LEFT_SIDE, RIGHT_SIDE = 10, 152, 1, 2, 234, 454
BETWEEN_EYES = 168
#: Flat, hairless skin for colour: both cheeks.
CHEEKS = (50, 101, 118, 117, 280, 330, 347, 346)
#: Skin lower down, beside the mouth and the wings of the nose.
BESIDE_MOUTH = (187, 411, 205, 425, 36, 266)
#: Skin between the lower lip and the chin.
BELOW_LIP = (18, 200)
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip


def lid_openness(landmarks: FloatArray) -> list[float]:
    """Measure how far each eye is open: lid distance over eye width, about 0.3 in an open eye.

    Args:
        landmarks: [478, 2 or 3].

    Returns:
        The eye on the picture's left, then the one on its right.
    """
    openness = []
    for upper, lower, _ in EYES:
        height = float(np.linalg.norm(landmarks[upper[4], :2] - landmarks[lower[4], :2]))
        width = float(np.linalg.norm(landmarks[upper[0], :2] - landmarks[upper[-1], :2]))
        openness.append(height / max(width, 1e-6))
    return openness


def mouth_width(landmarks: FloatArray) -> float:
    """Measure the distance between the mouth's outer corners, px."""
    return float(np.linalg.norm(landmarks[61, :2] - landmarks[291, :2]))


def lip_gap(landmarks: FloatArray) -> float:
    """Measure the distance between the inner lips at the middle, as a fraction of the mouth's width."""
    gap = np.linalg.norm(landmarks[13, :2] - landmarks[14, :2])
    return float(gap / max(mouth_width(landmarks), 1e-6))
