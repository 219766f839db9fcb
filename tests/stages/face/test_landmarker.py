"""What mediapipe is asked, and in which shape pictures are given to it."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face.detect import find_upright
from stages.face.landmarker import shared_landmarker
from tests.conftest import PORTRAIT
from tests.support.stages.picture_jobs import astronaut, smiling


def test_a_person_in_a_narrow_picture_is_found_as_in_a_wide_one() -> None:
    # Given a portrait, and a strip of it a face and a half wide under a high wall, which squeezed to a square shows no person
    landmarker = shared_landmarker()
    read = cv2.imread(str(PORTRAIT))
    picture = cv2.cvtColor(cv2.resize(read, (640, 640), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    upright, faces, _ = find_upright(np.asarray(picture, np.uint8), landmarker)
    across = faces[0].landmarks[:, 0]
    width, middle = float(np.ptp(across)), float(across.min() + across.max()) / 2
    columns = slice(round(middle - 0.8 * width), round(middle + 0.8 * width))
    wall = 3 * len(upright)
    strip = cv2.copyMakeBorder(upright[:, columns], wall, 0, 0, 0, cv2.BORDER_REPLICATE)
    # When the person is looked for in both
    whole = landmarker.person_mask(upright)[:, columns] > 0.5
    found = landmarker.person_mask(np.asarray(strip, np.uint8)) > 0.5
    # Then it is the same person, and the wall is none
    assert (found[wall:] & whole).sum() > 0.9 * (found[wall:] | whole).sum()
    assert found[: wall - 40].mean() < 0.02


def test_a_picture_that_is_nearly_square_shows_the_same_person_as_a_square_one() -> None:
    # Given a picture, and the same without a narrow strip at both sides
    landmarker, square = shared_landmarker(), np.asarray(smiling().resize((512, 512)))
    whole = landmarker.person_mask(square) > 0.5
    for strip in (4, 12):
        # When the person is looked for in both
        found = landmarker.person_mask(np.ascontiguousarray(square[:, strip:-strip])) > 0.5
        # Then it is the same person
        assert (found != whole[:, strip:-strip]).mean() < 0.01


def test_a_picture_shows_the_same_person_as_its_mirror_image() -> None:
    # Given a picture beside the person of which the network is unsure, and its mirror image
    landmarker, picture = shared_landmarker(), np.asarray(astronaut())
    # When the person is looked for in both / Then it is the same person
    mirrored = landmarker.person_mask(np.ascontiguousarray(picture[:, ::-1]))[:, ::-1]
    assert np.abs(landmarker.person_mask(picture) - mirrored).max() < 0.05
