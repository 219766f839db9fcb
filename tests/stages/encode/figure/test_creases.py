"""The folds beside the mouth are shaded where they can be seen, and nothing is drawn between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.encode.creases import _DARKEST, CreaseShader
from stages.face.rig.creases import Crease

ORIGIN = 10, 20  # x, y


@pytest.mark.parametrize(("between", "boxes"), [(60, 2), (12, 1)], ids=["far apart", "close together"])
def test_folds_are_drawn_as_parts_that_differ_nowhere_from_the_whole(between: int, boxes: int) -> None:
    # Given two folds that fade into depths too small to be seen
    fold = np.clip(255 - 24 * np.abs(np.arange(-12, 13)), 0, 255).astype(np.uint8)
    row = np.concatenate([fold, np.full(between, 2, np.uint8), fold])
    depth = np.vstack([np.full((9, len(row)), 1, np.uint8), np.tile(row, (30, 1)), np.zeros((5, len(row)), np.uint8)])
    x, y = ORIGIN
    height, width = depth.shape
    picture = np.random.default_rng(1).integers(0, 256, (height + 2 * y, width + 2 * x, 4), dtype=np.uint8)
    expected = picture.copy()
    colours = expected[y : y + height, x : x + width, :3]
    darker = cv2.multiply(colours, cv2.merge([depth] * 3), scale=_DARKEST / 255)
    colours -= np.asarray(darker, np.uint8)
    shader = CreaseShader(Crease(ORIGIN, depth))
    # When they are drawn at their deepest
    shaded = picture.copy()
    shader.shade(shaded, 1.0)
    # Then the picture is that of both drawn at once, and only their boxes have changed
    assert (shaded == expected).all()
    assert len(shader.boxes) == boxes
    for box in shader.boxes:
        shaded[box] = picture[box]
    assert (shaded == picture).all()


def test_a_face_without_folds_is_left_as_it_is() -> None:
    shader = CreaseShader(Crease(ORIGIN, np.zeros((8, 8), np.uint8)))
    picture = np.full((60, 60, 4), 200, np.uint8)
    shader.shade(picture, 1.0)
    assert shader.boxes == []
    assert (picture == 200).all()
