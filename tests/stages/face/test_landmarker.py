"""What mediapipe is asked, and in which shape pictures are given to it."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face.detect import find_upright
from stages.face.landmarker import shared_landmarker
from tests.conftest import PORTRAIT


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
