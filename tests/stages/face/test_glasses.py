"""Glasses keep their shape while the mouth moves: the lower rims are found, and the mouth's movements end below them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.context import Context
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.glasses import find_rim
from stages.face.rig.rig import build_rig
from stages.lipsync.visemes import PHONES
from tests.support.stages.picture_jobs import face_of, portrait_of

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float64]

_EYES = ((33, 133), (362, 263))


def with_glasses(portrait: Picture, landmarks: npt.NDArray[np.float32], frame: FaceFrame) -> tuple[Picture, Grid]:
    """A portrait with round glasses, and places on their lower rims, [n, 2] px."""
    worn, places = portrait.copy(), []
    axes = np.array([0.21, 0.17]) * frame.face_width
    for corners in _EYES:
        middle = landmarks[list(corners), :2].mean(axis=0)
        angle = np.linspace(0, 2 * np.pi, 97)
        line = middle + np.stack([axes[0] * np.cos(angle), axes[1] * np.sin(angle)], axis=1)
        thick = max(2, round(0.02 * frame.face_width))
        cv2.polylines(worn, [np.round(line).astype(np.int32)], True, (35, 30, 30), thick, cv2.LINE_AA)
        places.append(line[12:37])
    return worn, np.concatenate(places)


def test_glasses_stay_as_they_are_while_the_mouth_moves(ready: Context) -> None:
    # Given a portrait with and without glasses
    portrait, landmarks = portrait_of(ready), np.array(face_of(ready)["landmarks"], np.float32)
    frame = FaceFrame.of(landmarks)
    worn, lower_rims = with_glasses(portrait, landmarks, frame)
    # When the rims are looked for, they are found only where there are some, and at their lowest place
    assert find_rim(portrait, landmarks, frame) is None
    rim = find_rim(worn, landmarks, frame)
    assert rim == pytest.approx(frame.local(lower_rims)[:, 1].max(), abs=0.03 * frame.face_width)
    # And when the face speaks
    bare, rig = build_rig(portrait, landmarks), build_rig(worn, landmarks)
    columns, rows = np.round(lower_rims / rig.step).astype(int).T
    at = rows - rig.face_cells.top, columns - rig.face_cells.left
    drawn_along = 0.0
    for phone, parts in PHONES.items():
        for viseme in parts:
            amounts = np.array([min(viseme.shape.get(name, 0.0), 1.0) for name in rig.face_names], np.float32)
            for layer, before in ((rig.upper, bare.upper), (rig.lower, bare.lower)):
                moved = np.tensordot(amounts, layer, 1)
                # Then no sound moves a rim, and none folds the cheek below it
                assert np.abs(moved[at]).max() < 0.004 * frame.face_width, phone
                down, across = np.gradient(moved / rig.step, axis=(0, 1))
                area = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
                assert area.min() > 0.25, phone
                drawn_along = max(drawn_along, float(np.abs(np.tensordot(amounts, before, 1)[at]).max()))
    # And the sounds would have moved it
    assert drawn_along > 0.012 * frame.face_width
