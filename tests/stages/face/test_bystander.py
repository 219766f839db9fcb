"""Other people in the picture are no part of the person, and stand still."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.face
from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray
from stages.face.rig.matting.bystander import find_others
from tests.support.stages.picture_jobs import changed, drawn, job, show

Picture = npt.NDArray[np.uint8]

_SKIN, _HAIR = (220, 170, 150), (60, 45, 40)
_SIZE = 270


def landmarks() -> FloatArray:
    """A face of 80 px in the middle of a picture of `_SIZE` px."""
    points = np.full((478, 2), _SIZE / 2, np.float32)
    around = np.linspace(0, 2 * np.pi, len(mesh.OVAL), endpoint=False)
    points[list(mesh.OVAL)] = np.stack([135 + 40 * np.sin(around), 135 - 52 * np.cos(around)], axis=1)
    points[mesh.CHIN], points[list(mesh.UPPER_LIP_INNER)] = (135, 187), (135, 165)
    points[168] = (135, 120)
    return points


def scene(*discs: tuple[tuple[int, int], int, tuple[int, int, int]]) -> tuple[Picture, Picture]:
    """A picture of a person with dark hair, and of more discs (middle, radius, colour); and the mask that shows all of them."""
    picture, mask = np.full((_SIZE, _SIZE, 3), 235, np.uint8), np.zeros((_SIZE, _SIZE), np.uint8)
    body = (((135, 290), 90, (40, 60, 160)), ((135, 120), 62, _HAIR))
    for middle, radius, colour in (*body, *discs):
        cv2.circle(picture, middle, radius, colour, cv2.FILLED)
        cv2.circle(mask, middle, radius, (1,), cv2.FILLED)
    cv2.ellipse(picture, (135, 135), (40, 52), 0, 0, 360, _SKIN, cv2.FILLED)
    return picture, mask


def others(picture: Picture, mask: Picture) -> npt.NDArray[np.bool_]:
    """Where other people are found."""
    return find_others(picture, mask, landmarks(), np.array(_SKIN, np.float32))


def test_a_person_alone_is_nobody_else() -> None:
    assert not others(*scene()).any()
    # Nor is a lock that stands off, or curls of fair hair
    assert not others(*scene(((222, 95), 6, _HAIR))).any()
    picture, mask = scene(((225, 150), 34, _SKIN))
    curls = (np.add.outer(np.arange(_SIZE), np.arange(_SIZE)) // 3 % 2 * 40 - 20)[..., None]
    picture[:, 195:] = np.clip(picture[:, 195:].astype(int) + curls[:, 195:], 0, 255)
    assert not others(picture, mask).any()


@pytest.mark.parametrize("apart", [True, False], ids=["a head of its own", "a face that touches the head"])
def test_another_person_is_found_and_the_head_stays_whole(apart: bool) -> None:
    head = ((252, 110), 40, _HAIR) if apart else ((230, 130), 38, _SKIN)
    picture, mask = scene(head)
    if apart:  # joined below the eyes
        mask[150:170, 190:240] = 1
    found = others(picture, mask)
    disc = np.zeros_like(mask)
    cv2.circle(disc, head[0], head[1] - 3, (1,), cv2.FILLED)
    assert found[(disc > 0) & (np.arange(_SIZE) > 215)[None]].mean() > 0.9
    assert not found[:180, 80:182].any()


def test_another_face_close_beside_the_persons_is_found() -> None:
    # Given a face beside dark hair, nearer than the head's own skin may be
    picture, mask = scene(((194, 140), 16, _SKIN))
    # When they are told apart
    found = others(picture, mask)
    # Then all of it is somebody else's, and the person is whole
    disc = np.zeros_like(mask)
    cv2.circle(disc, (194, 140), 13, (1,), cv2.FILLED)
    assert found[disc > 0].mean() > 0.9
    assert not found[:180, 90:168].any()


def test_an_ear_that_another_face_touches_stays_with_the_head() -> None:
    # Given an ear, and behind it somebody's cheek of the same colour
    picture, mask = scene(((232, 145), 42, _SKIN))
    ear = np.zeros_like(mask)
    cv2.ellipse(ear, (184, 138), (6, 26), 0, 0, 360, (1,), cv2.FILLED)
    picture[ear > 0] = _SKIN
    # When they are told apart
    found = others(picture, mask | ear)
    # Then the cheek is somebody else's, and the ear the person's
    assert found[120:165, 205:270].mean() > 0.9
    assert found[(ear > 0) & (np.arange(_SIZE) < 187)[None]].mean() < 0.1


def test_no_slice_of_another_face_stays_with_the_head() -> None:
    # Given somebody whose cheek and hair touch the person's hair
    cheek, hair = ((236, 145), 52, _SKIN), ((204, 70), 26, _HAIR)
    picture, mask = scene(hair, cheek)
    # When they are told apart
    found = others(picture, mask)
    # Then all of the cheek beside the head is theirs, below the person's mouth, too, and the hair above, which would be a horn
    theirs = np.zeros_like(mask)
    cv2.circle(theirs, cheek[0], cheek[1] - 2, (1,), cv2.FILLED)
    theirs[:70] = mask[:70]
    theirs[:, :184] = 0
    assert (theirs & ~found).sum() < 5


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("left", "background", "told"), [(300, "green", True), (300, "keep", False), (600, "green", False)]
)
def test_a_head_that_touches_the_persons_is_told_with_another_background(
    tmp_path: Path, left: int, background: str, told: bool
) -> None:
    # Given a picture of two people whose heads touch, or are apart
    picture = Image.new("RGB", (1060, 640), (200, 190, 180))
    for size, place in ((460, (left, 120)), (640, (0, 0))):
        shown = shared_landmarker().person_mask(np.asarray(drawn(size))) > 0.5
        picture.paste(drawn(size), place, Image.fromarray(shown))
    # When it is measured for a video
    ctx = job(tmp_path / "job", picture, face="largest", background=background)
    facts = stages.face.run(ctx)
    # Then its status says that the outline between the heads is a guess
    assert ("head-touched" in facts["cautions"]) is told
    assert any("touches" in warning for warning in ctx.warnings) is told


@pytest.mark.usefixtures("models")
def test_another_person_stands_still_while_the_head_moves(tmp_path: Path) -> None:
    # Given a picture of two people whose shoulders touch
    picture = Image.new("RGB", (920, 640), (200, 190, 180))
    picture.paste(drawn(), (0, 0))
    picture.paste(drawn(460).crop((60, 0, 460, 460)), (530, 180))
    ctx = job(tmp_path / "job", picture, face="largest")
    stages.face.run(ctx)
    # When the person's head moves as far as it may
    still, *moved = show(ctx, {}, {"head_yaw": 4.0, "head_x": 0.03}, {"head_yaw": -4.0, "head_x": -0.03})
    # Then nothing of the other one's head does
    for frame in moved:
        difference = changed(frame, still)
        assert difference[200:480, 600:].mean() < 0.002
        assert difference[:, 100:460].mean() > 0.2
