"""Glasses keep their shape: they are found, the mouth's movements end below them, and brows and cheeks move behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from stages.context import Context
from stages.encode.field_warp import field_at_points
from stages.face import mesh
from stages.face import run as run_face
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.glasses import find_glasses
from stages.face.rig.rig import Rig, build_rig, load_measured_rig
from stages.lipsync.visemes import PHONES
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of, smiling

pytestmark = pytest.mark.usefixtures("models", "known_faces")

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float64]

_EYES = ((33, 133), (362, 263))


def with_glasses(portrait: Picture, landmarks: npt.NDArray[np.float32], frame: FaceFrame) -> tuple[Picture, Grid]:
    """A portrait with thin round glasses, and places on their lower rims, [n, 2] px."""
    worn, places = portrait.copy(), []
    axes = np.array([0.16, 0.24]) * frame.face_width

    def draw(line: Grid) -> None:
        cv2.polylines(worn, [np.round(line * 16).astype(np.int32)], False, (90, 80, 75), 2, cv2.LINE_AA, 4)

    middles = [landmarks[list(corners), :2].mean(axis=0) for corners in _EYES]
    for middle, side in zip(middles, (-1, 1), strict=True):
        angle = np.linspace(0, 2 * np.pi, 97)
        line = middle + np.stack([axes[0] * np.cos(angle), axes[1] * np.sin(angle)], axis=1)
        draw(line)
        places.append(line[12:37])
        hinge = middle + np.array([side * axes[0], 0])
        draw(np.stack([hinge, hinge + np.array([side * 0.2 * frame.face_width, 0])]))
    draw(np.stack([middles[0] + np.array([axes[0], 0]), middles[1] - np.array([axes[0], 0])]))
    return worn, np.concatenate(places)


def sounds(rig: Rig) -> Iterator[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """The sounds, with the displacement of the upper and of the lower layer at full strength, px."""
    for phone, parts in PHONES.items():
        for viseme in parts:
            amounts = np.array([min(viseme.shape.get(name, 0.0), 1.0) for name in rig.face_names], np.float32)
            upper, lower = (np.tensordot(amounts, layer, 1) for layer in (rig.upper, rig.lower))
            yield phone, upper, lower


def test_glasses_stay_as_they_are_while_the_face_moves(ready: Context) -> None:
    # Given a portrait with and without thin glasses
    portrait, landmarks = portrait_of(ready), np.array(face_of(ready)["landmarks"], np.float32)
    frame = FaceFrame.of(landmarks)
    worn, lower_rims = with_glasses(portrait, landmarks, frame)
    # When they are looked for, they are found only where there are some, and their lowest place, too
    assert find_glasses(portrait, landmarks, frame) is None
    rim = find_glasses(worn, landmarks, frame)
    assert rim == pytest.approx(frame.local(lower_rims)[:, 1].max(), abs=0.03 * frame.face_width)
    # And when the face speaks
    bare = load_measured_rig(ready.settings.paths.cache, portrait, face_of(ready))
    rig = build_rig(worn, landmarks)
    columns, rows = np.round(lower_rims / rig.step).astype(int).T
    at = rows - rig.face_cells.top, columns - rig.face_cells.left
    for phone, upper, lower in sounds(rig):
        for moved in (upper, lower):
            # Then no sound moves a rim, and none folds the cheek below it
            assert np.abs(moved[at]).max() < 0.004 * frame.face_width, phone
            down, across = np.gradient(moved / rig.step, axis=(0, 1))
            area = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
            assert area.min() > 0.25, phone
    # And cheeks and brows move behind the rims
    cheeks, brow = (rig.face_names.index(name) for name in ("cheeks", "brow_left"))
    assert np.abs(rig.upper[cheeks][at]).max() < 0.002 * frame.face_width
    assert np.abs(bare.upper[cheeks][at]).max() > 0.008 * frame.face_width
    assert np.abs(rig.upper[brow]).max() < 0.25 * np.abs(bare.upper[brow]).max()


@pytest.mark.parametrize("picture", [drawn, smiling])
def test_the_mouth_moves_neither_the_nose_nor_glasses_that_were_not_found(
    picture: Callable[[], Image.Image], tmp_path: Path
) -> None:
    # Given a portrait with shut lips, and one that smiles with its teeth, both without glasses
    ctx = job(tmp_path / "job", picture())
    run_face(ctx)
    portrait, landmarks = portrait_of(ctx), np.array(face_of(ctx)["landmarks"], np.float32)
    frame, rig = FaceFrame.of(landmarks), load_measured_rig(ctx.settings.paths.cache, portrait, face_of(ctx))
    eyes = landmarks[[33, 133, 362, 263], :2].reshape(2, 2, 2).mean(axis=1)
    across, distance = eyes[1] - eyes[0], float(np.linalg.norm(eyes[1] - eyes[0]))
    along = np.linspace(-0.8, 0.8, 33, dtype=np.float32)[:, None]
    rims = eyes.mean(axis=0) + along * across + 0.42 * np.array([-across[1], across[0]])
    nose = landmarks[[mesh.NOSE_TIP, mesh.NOSE_BASE], :2]
    length = float(np.linalg.norm(landmarks[168, :2] - landmarks[mesh.NOSE_BASE, :2]))
    # When it speaks
    for phone, upper, lower in sounds(rig):
        for moved in (upper, lower):
            at = [field_at_points(moved, rig.face_cells, rig.step, points) for points in (rims, nose)]
            # Then no sound moves the places where lower rims lie, and none lengthens the nose
            assert np.abs(at[0]).max() < 0.01 * distance, phone
            assert np.abs(at[1] @ frame.down).max() < 0.03 * length, phone
