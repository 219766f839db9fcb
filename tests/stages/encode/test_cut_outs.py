"""Cut-outs of people whose colours the background has, too: no scraps of it beside them, and no bites out of them."""

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
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.split_person import find_person, split_person
from tests.support.stages.picture_jobs import drawn, job

pytestmark = pytest.mark.usefixtures("models")

SIDE = 512


def person_before(kind: str) -> tuple[Picture, FloatArray, FloatArray, npt.NDArray[np.float32]]:
    """A drawn person before spots of the hair's or skin's colour: picture, landmarks, segmentation, px outside the outline."""
    portrait = np.ascontiguousarray(np.asarray(drawn(SIDE)))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait)
    inside = (person > 0.5).astype(np.uint8)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    top, x = int(np.flatnonzero(inside.any(axis=1))[0]), int(landmarks[mesh.FOREHEAD, 0])
    hair = portrait[top + 12, x].astype(np.float32)
    y, x = landmarks[mesh.CHEEKS[0], 1::-1].astype(int)
    own = hair if kind == "hair" else portrait[y, x].astype(np.float32)
    random = np.random.default_rng(5)
    spots = cv2.resize(random.random((SIDE // 12, SIDE // 12), np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    wall = own + (spots[..., None] - 0.5) * np.array((90, 80, 70)) + random.normal(0, 2, portrait.shape)
    cover = np.clip(0.5 - away / 2, 0, 1)[..., None]
    picture = np.clip(cover * portrait + (1 - cover) * wall, 0, 255).astype(np.uint8)
    return picture, landmarks, person, np.asarray(away, np.float32)


@pytest.mark.parametrize("kind", ["hair", "skin"])
def test_colours_that_the_background_has_too_leave_no_scraps_and_no_bites(kind: str) -> None:
    # When somebody before spots of the own colours is cut out
    portrait, landmarks, person, away = person_before(kind)
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    # Then the outline is one smooth line near that of the segmentation
    assert cv2.connectedComponents((cut > 40).astype(np.uint8))[0] == 2
    assert cut[away > 8].max() < 20
    assert (cut[away < -8] < 235).mean() < 0.002


def test_the_rim_of_an_ear_that_light_shines_through_is_not_cut_off() -> None:
    # Given a wide ear whose rim is as red and dark as light from behind makes it, and of which the segmentation is hardly sure
    portrait = np.array(drawn(SIDE))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    across = float(landmarks[mesh.RIGHT_SIDE, 0] - landmarks[mesh.LEFT_SIDE, 0])
    x, y = (round(float(value)) for value in landmarks[mesh.LEFT_SIDE, :2])
    beside = np.arange(SIDE) < x - 2
    portrait[:, beside], person[:, beside] = (60, 62, 60), 0.0
    ear = np.zeros(person.shape, np.uint8)
    cv2.ellipse(
        ear, (round(x - 0.07 * across), y), (round(0.08 * across), round(0.12 * across)), 0, 0, 360, (1,), cv2.FILLED
    )
    portrait[ear > 0] = 133, 60, 50
    person[ear > 0] = np.maximum(person[ear > 0], 0.4)
    # When the person is cut out / Then the ear is whole
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert np.percentile(cut[cv2.erode(ear, np.ones((7, 7), np.uint8)) > 0], 2) > 150


def drawn_before(wall: tuple[int, int, int]) -> tuple[Picture, FloatArray, npt.NDArray[np.float32]]:
    """The drawn person before an even wall: picture, landmarks, segmentation."""
    portrait = np.array(drawn(SIDE))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    portrait[person < 0.1] = wall
    return portrait, landmarks, person


def test_a_plain_wall_that_is_seen_through_a_curl_is_none_of_the_person() -> None:
    # Given a curl beside the head, and a segmentation that takes what is seen through it for a part of the person
    portrait, landmarks, person = drawn_before((200, 205, 210))
    y = round(float(landmarks[mesh.FOREHEAD, 1]))
    x = int(np.flatnonzero(person[y] > 0.5)[-1])
    hair = portrait[y, x - 30].tolist()
    cv2.ellipse(portrait, (x + 14, y), (28, 40), 0, 90, 360, hair, 10, cv2.LINE_AA)
    cv2.ellipse(person, (x + 14, y), (32, 44), 0, 0, 360, (1.0,), cv2.FILLED)
    # When the person is cut out
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    # Then another background is seen through the curl, which stays
    assert cut[y - 8 : y + 8, x + 8 : x + 20].max() < 60
    assert cut[y - 42 : y - 38, x + 10 : x + 18].min() > 200


def test_a_wall_between_strands_of_which_the_segmentation_is_unsure_is_none_of_the_person() -> None:
    # Given strands beside the head before a wall with stripes, and a segmentation that rather takes all of it for hair
    portrait, landmarks, person = drawn_before((200, 205, 210))
    stripes = 30 * np.sin(np.arange(SIDE) / 30)[:, None, None]
    portrait[person < 0.1] = np.clip(portrait + stripes, 0, 255)[person < 0.1]
    y = round(float(landmarks[mesh.FOREHEAD, 1]))
    x = int(np.flatnonzero(person[y] > 0.5)[-1])
    hair = portrait[y, x - 30].tolist()
    beside, strands = np.zeros((2, SIDE, SIDE), np.uint8)
    beside[y - 50 : y + 50, x : x + 36] = person[y - 50 : y + 50, x : x + 36] < 0.1
    for start in range(-90, 50, 14):
        cv2.line(strands, (x - 6, y + start), (x + 34, y + start + 40), (1,), 3)
    portrait[(strands & beside) > 0] = hair
    person[beside > 0] = 0.75
    # When the person is cut out
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    # Then another background is seen between the strands, which stay
    inner = np.zeros_like(beside)
    inner[y - 30 : y + 30, x + 8 : x + 26] = 1
    strands_middle = cv2.erode(strands, np.ones((3, 3), np.uint8)) & inner
    between = cv2.erode(1 - strands, np.ones((5, 5), np.uint8)) & inner
    assert np.median(cut[strands_middle > 0]) > 200
    assert np.percentile(cut[between > 0], 90) < 60


def test_a_large_part_of_which_the_segmentation_is_half_sure_is_none_of_the_person() -> None:
    # Given a wall with spots beside the person, which the segmentation half takes for one, surely in a piece with a bridge to it
    portrait, landmarks, person = drawn_before((200, 205, 210))
    y = round(float(landmarks[mesh.FOREHEAD, 1]))
    x = int(np.flatnonzero(person[y] > 0.5)[0])
    wall = np.zeros(person.shape, bool)
    wall[y : y + 140, :x] = person[y : y + 140, :x] < 0.1
    spots = cv2.resize(np.random.default_rng(4).integers(40, 200, (16, 16, 3), np.uint8), (SIDE, SIDE))
    portrait[wall] = spots[wall]
    person[wall] = 0.75
    person[y + 70 : y + 110, : x // 2] = 0.97
    person[y + 88 : y + 92, : x + 20] = 0.97
    # When the person is cut out / Then it is none of the person
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert (cut[y + 20 : y + 130, : x - 30] > 60).mean() < 0.05


def test_hair_in_shade_before_a_darker_wall_is_whole() -> None:
    # Given fair hair that gets darker towards the outline, as a head does that turns away from the light, before a dark wall
    portrait, landmarks, person = drawn_before((14, 13, 15))
    inwards = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    above = np.arange(SIDE) < landmarks[mesh.FOREHEAD, 1]
    light = np.clip(0.4 + inwards / 50, 0, 1)[..., None]
    hair = (person >= 0.1) & above[:, None]
    portrait[hair] = (light * (150, 140, 128) + (1 - light) * (14, 13, 15))[hair].astype(np.uint8)
    # When the person is cut out / Then no film of it is half transparent
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert np.percentile(cut[(inwards > 5) & above[:, None]], 1) > 240


def test_light_on_hair_that_has_a_colour_of_the_wall_stays() -> None:
    # Given a wall of two colours, and light on the hair of one of them, which reaches the outline
    portrait, landmarks, person = drawn_before((200, 205, 210))
    portrait[:, :40][person[:, :40] < 0.1] = (60, 50, 40)
    y = round(float(landmarks[mesh.FOREHEAD, 1]))
    x = int(np.flatnonzero(person[y] > 0.5)[-1])
    cv2.line(portrait, (x + 4, y - 40), (x - 36, y - 28), (190, 195, 200), 12, cv2.LINE_AA)
    # When the person is cut out / Then the light is a part of the person
    assert (
        split_person(portrait, landmarks, find_person(portrait, landmarks, person))
        .cut[y - 34 : y - 28, x - 36 : x - 26]
        .min()
        > 200
    )


def dark_haired_before(
    wall: tuple[int, int, int],
) -> tuple[Picture, FloatArray, npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The drawn person with dark hair before an even wall: picture, landmarks, segmentation, and where the hair is."""
    portrait, landmarks, person = drawn_before(wall)
    hair = (person >= 0.1) & (np.arange(SIDE) < landmarks[mesh.FOREHEAD, 1])[:, None]
    portrait[hair] = (14, 8, 6)
    return portrait, landmarks, person, hair


@pytest.mark.parametrize(
    ("wall", "closed"),
    [((84, 66, 46), True), ((190, 180, 170), False), ((40, 60, 170), False)],
    ids=["alike", "bright", "blue"],
)
def test_a_crown_is_closed_where_light_on_the_hair_looks_like_the_wall(
    wall: tuple[int, int, int], closed: bool
) -> None:
    # Given a bite in the crown that has the wall's colour, and a segmentation that is unsure there
    portrait, landmarks, person, hair = dark_haired_before(wall)
    x = int(landmarks[mesh.FOREHEAD, 0]) - 50
    top = int(np.flatnonzero(hair[:, x])[0])
    bite = np.zeros(person.shape, np.uint8)
    cv2.ellipse(bite, (x, top), (28, 22), 0, 0, 360, (1,), cv2.FILLED)
    portrait[bite > 0] = wall
    person[(bite > 0) & (person > 0.1)] = 0.4
    # When the person is cut out
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    # Then the bite is hair, but not before a wall whose colour no light gives hair
    inner = (cv2.erode(bite, np.ones((9, 9), np.uint8)) > 0) & (np.arange(SIDE) > top + 14)[:, None] & hair
    assert (cut[inner].min() > 200) if closed else (np.median(cut[inner]) < 60)


def test_the_grain_of_a_wall_that_nobody_stands_before_is_no_hair() -> None:
    # Given a painted wall with dark grain above the head, where the segmentation sees nobody
    portrait, landmarks, person, hair = dark_haired_before((120, 95, 65))
    top = int(np.flatnonzero(hair.any(axis=1))[0])
    x = int(landmarks[mesh.FOREHEAD, 0])
    beside = np.zeros(person.shape, bool)
    beside[top - 22 : top - 2, x - 60 : x + 60] = person[top - 22 : top - 2, x - 60 : x + 60] < 0.02
    grain = np.random.default_rng(7).random(person.shape) < 0.2
    portrait[beside & grain] = (97, 77, 53)
    # When the person is cut out / Then no crumbs are above the head
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert (cut[beside] > 24).mean() < 0.02


def test_a_spike_of_the_segmentation_is_no_part_of_a_smooth_outline() -> None:
    # Given hair before a wall of its colour, and a segmentation with a narrow spike
    portrait, landmarks, person, _ = dark_haired_before((16, 10, 8))
    y = int(landmarks[mesh.FOREHEAD, 1]) - 20
    x = int(np.flatnonzero(person[y] > 0.5)[0])
    person[y - 3 : y + 4, x - 14 : x] = 1.0
    # When the person is cut out / Then nothing stands off there
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert cut[y, x - 12 : x - 7].max() < 80


@pytest.mark.parametrize(
    ("wall", "background", "told"),
    [((60, 45, 40), "green", True), ((60, 45, 40), "keep", False), ((200, 190, 180), "green", False)],
)
def test_an_outline_that_is_a_guess_is_told_with_another_background(
    tmp_path: Path, wall: tuple[int, int, int], background: str, told: bool
) -> None:
    # Given somebody small in the picture before a wall of the hair's colour, or a bright one
    person = drawn(300)
    shown = shared_landmarker().person_mask(np.asarray(person)) > 0.5
    picture = Image.new("RGB", (640, 640), wall)
    picture.paste(person, (170, 340), Image.fromarray(shown))
    # When it is measured for a video
    ctx = job(tmp_path / "job", picture, background=background)
    facts = stages.face.run(ctx)
    # Then its status says so
    assert ("outline-unclear" in facts["cautions"]) is told
    assert any("hardly stands out" in warning for warning in ctx.warnings) is told
