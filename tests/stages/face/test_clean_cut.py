"""What is left of pieces apart from the person before another background."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face.rig.matting.clean_cut import in_one_piece

SIDE = 500


def test_of_pieces_apart_from_the_person_only_strands_stay() -> None:
    """The colours tell all of them from the background: a strand in two parts, a flower, a speck, and a hair far away."""
    # Given a head, and what is apart from it
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(alpha, (250, 400), 150, (255,), cv2.FILLED)
    cv2.line(alpha, (250, 246), (260, 225), (120,), 2)
    cv2.line(alpha, (262, 221), (280, 195), (60,), 2)
    cv2.circle(alpha, (124, 294), 8, (90,), cv2.FILLED)
    cv2.circle(alpha, (330, 263), 1, (90,), cv2.FILLED)
    cv2.line(alpha, (20, 20), (60, 40), (120,), 2)
    # When it is cleaned
    cut = in_one_piece(alpha, np.ones(alpha.shape, bool), SIDE)
    # Then head and strand are as they were, and nothing else is there
    assert (cut[180:250, 240:300] == alpha[180:250, 240:300]).all()
    assert cut[400, 250] == 255
    assert not cut[284:296, 114:128].any()
    assert not cut[258:268, 326:335].any()
    assert not cut[:60, :80].any()
