"""What mediapipe is asked, and in which shape pictures are given to it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

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


def test_a_thing_beside_the_head_that_only_the_whole_picture_shows_as_a_person_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is a part of the person lost that one view with room above misses; hair at the upper border stays."""
    # Given a network that sees a thing beside the head only without room above, and misses an ear with most room
    landmarker, picture = shared_landmarker(), np.zeros((200, 200, 3), np.uint8)
    picture[:, 60:140], picture[150:160, 140:150], picture[100:110, 130:140] = 100, 200, 150

    def segment(shown: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        room = len(shown) - 200
        value = shown[..., 0]
        found = (value == 100) | ((value == 200) & (room == 0)) | ((value == 150) & (room < 80))
        found[: room + (5 if room else 0)] = False
        return np.asarray(found, np.float32)

    monkeypatch.setattr(landmarker, "_segment", segment)
    # When the person is looked for / Then the thing is none, and the ear and the hair at the border are a part of the person
    found = landmarker.person_mask(picture) > 0.5
    assert not found[150:160, 140:150].any()
    assert found[100:110, 130:140].all()
    assert found[:, 60:140].all()
