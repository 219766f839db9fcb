"""Teeth follow the head at both corners of the mouth alike: a turn leaves no dark wedge beside them."""

from __future__ import annotations

import numpy as np

from stages.encode.head_at_mouth import HeadAtMouth
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.grid import CellBlock

#: A face of which only the mouth is looked at: its middle and both its halves, px.
MIDDLE, HALF = np.array([128.0, 128.0]), 30.0


def test_a_turn_moves_teeth_as_far_as_the_corners_on_both_sides() -> None:
    # Given a face, and a turn that moves the middle of its mouth by 8 px and the corners by 4 and less
    frame = FaceFrame(
        origin=MIDDLE, across=np.array([1.0, 0.0]), down=np.array([0.0, 1.0]), unit=40.0, face_width=160.0,
        face_height=200.0, half_mouth=(HALF, HALF), half_face=(80.0, 80.0), nose=-30.0, chin=60.0, upper_lip=6.0, lower_lip=8.0,
    )  # fmt: skip
    cells, step = CellBlock(0, 0, 128, 128), 2
    x = cells.points(step)[..., 0]
    field = np.zeros((*cells.shape, 2), np.float32)
    field[..., 0] = 8 * np.exp(-(((x - MIDDLE[0]) / 36) ** 2))
    # When its motion at the mouth is fitted
    matrix = HeadAtMouth(frame).matrix(field, cells, step)
    # Then the teeth at the corners move nearly as these do, and no side farther from that than the other
    at = np.array([[MIDDLE[0] + side * HALF, MIDDLE[1], 1] for side in (-1, 0, 1)])
    left, middle, right = (matrix @ at.T)[0] - at[:, 0]
    corner = 8 * float(np.exp(-((HALF / 36) ** 2)))
    assert abs(left - right) < 0.1
    assert abs(left - corner) < 2.5
    assert abs(middle - 8) < 2
