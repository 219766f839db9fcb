"""What is left of pieces apart from the person before another background."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face.rig.matting.cut_out.one_piece import in_one_piece
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.outline import find_things

SIDE = 500


def test_of_pieces_apart_from_the_person_only_strands_stay() -> None:
    """The colours tell all of them from the background: a strand in two parts, a flower, a speck, a faint line, a far hair."""
    # Given a head, and what is apart from it
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(alpha, (250, 400), 150, (255,), cv2.FILLED)
    cv2.line(alpha, (250, 246), (260, 225), (120,), 2)
    cv2.line(alpha, (262, 221), (280, 195), (60,), 2)
    cv2.circle(alpha, (124, 294), 8, (90,), cv2.FILLED)
    cv2.circle(alpha, (330, 263), 1, (90,), cv2.FILLED)
    cv2.line(alpha, (385, 320), (400, 295), (36,), 2)
    cv2.line(alpha, (20, 20), (60, 40), (120,), 2)
    # When it is cleaned
    cut = in_one_piece(alpha, np.ones(alpha.shape, bool), SIDE)
    # Then head and strand are as they were, and nothing else is there
    assert (cut[180:250, 240:300] == alpha[180:250, 240:300]).all()
    assert cut[400, 250] == 255
    assert not cut[284:296, 114:128].any()
    assert not cut[258:268, 326:335].any()
    assert not cut[290:325, 390:405].any()
    assert not cut[:60, :80].any()


def test_what_is_apart_below_the_shoulders_is_no_strand() -> None:
    # Given two lines beside the person, one beside the head and one beside the clothes
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(alpha, (250, 250), 150, (255,), cv2.FILLED)
    for y in (200, 300):
        cv2.line(alpha, (398, y - 6), (398, y + 6), (200,), 2)
    # When it is cleaned / Then only the first stays
    cut = in_one_piece(alpha, np.ones(alpha.shape, bool), SIDE, shoulders=250)
    assert cut[200, 398]
    assert not cut[300, 397:400].any()


def test_an_earring_is_larger_than_a_speck() -> None:
    # Given bright things beside an ear: an earring, and three pixels of light on the jaw's edge
    pixels = object.__new__(DoubtfulPixels)
    pixels.portrait, pixels.side = np.zeros((SIDE, SIDE, 3), np.uint8), SIDE
    odd = np.zeros((SIDE, SIDE), np.float32)
    odd[100:109, 100:109] = odd[200:203, 200:203] = 1
    pixels.rows, pixels.columns = np.nonzero(np.ones_like(odd))
    # When they are told from specks / Then the earring is there, and the light is not
    there = find_things(pixels, odd.ravel()).reshape(odd.shape)
    assert there[101:108, 101:108].min() > 0.9
    assert not there[195:210].any()
