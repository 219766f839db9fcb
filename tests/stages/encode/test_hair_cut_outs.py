"""Cut-outs of hair: a crown that is hardly seen, a wall between curls, thin hair beside a neck, and ears beside hair."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.split_person import find_person, split_person
from tests.support.stages.picture_jobs import drawn

pytestmark = pytest.mark.usefixtures("models")

SIDE = 512
Mask = npt.NDArray[np.bool_]


def dark_haired_before(wall: tuple[int, int, int]) -> tuple[Picture, FloatArray, FloatArray, Mask]:
    """The drawn person with dark hair before an even wall: picture, landmarks, segmentation, and where the hair is."""
    portrait = np.array(drawn(SIDE))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    portrait[person < 0.1] = wall
    hair = (person >= 0.1) & (np.arange(SIDE) < landmarks[mesh.FOREHEAD, 1])[:, None]
    portrait[hair] = (14, 8, 6)
    return portrait, landmarks, person, hair


def hair_beside_arc(hair: Mask, landmarks: FloatArray) -> Mask:
    """A piece of the crown beyond a straight line with a dent, as a segmentation cuts hair off that it hardly sees."""
    middle = np.array([landmarks[mesh.FOREHEAD, 0], landmarks[mesh.FOREHEAD, 1] + 40])
    ways = [np.array([-np.sin(turned), -np.cos(turned)]) for turned in np.radians([12, 30, 48])]
    radii = [max(r for r in range(300) if hair[tuple((middle + r * way).astype(int)[::-1])]) for way in ways]
    dent = 0.5 * (radii[0] * ways[0] + radii[2] * ways[2]) - 12 * ways[1]
    corners = [middle + 400 * ways[0], middle + radii[0] * ways[0], middle + dent, middle + radii[2] * ways[2]]
    piece = np.zeros(hair.shape, np.uint8)
    outline = np.array([*corners, middle + 400 * ways[2]]).round().astype(np.int32)
    cv2.fillPoly(piece, [outline], (1,))
    return (piece > 0) & hair


def test_a_crown_that_is_hardly_seen_is_round_and_not_straight() -> None:
    # Given dark hair before a wall as dark, and a segmentation that cuts a piece of the crown off
    portrait, landmarks, person, hair = dark_haired_before((17, 11, 9))
    piece = hair_beside_arc(hair, landmarks)
    person[piece] = 0.4
    # When the person is cut out / Then more than half of the piece is there, most of which is beyond the straight line
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    within = cv2.erode((piece | (person > 0.5)).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (cut[piece & within] > 128).mean() > 0.55


def test_hair_that_only_its_strands_tell_from_the_wall_is_there_up_to_them() -> None:
    # Given hair with light strands before a wall as dark, and a segmentation that hardly sees half of the crown
    portrait, landmarks, person, hair = dark_haired_before((17, 11, 9))
    strands = np.random.default_rng(3).random(hair.shape) < 0.15
    portrait[hair & strands] = (42, 30, 24)
    x = int(landmarks[mesh.FOREHEAD, 0])
    inwards = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    piece = hair & (inwards < 24) & (np.arange(SIDE) < x)
    person[piece] = np.minimum(person[piece], 0.4)
    # When the person is cut out / Then the hair is there
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert (cut[piece & (inwards > 8)] > 128).mean() > 0.8


def test_a_wall_of_no_hair_s_colour_is_taken_out_of_curls_far_inside() -> None:
    # Given small gaps between curls, farther inside than the segmentation doubts, which show a blue wall
    portrait, landmarks, person, hair = dark_haired_before((90, 140, 215))
    inwards = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    places = np.argwhere(
        hair & (np.abs(inwards - 22) < 1) & (np.arange(SIDE) < landmarks[mesh.FOREHEAD, 1] - 30)[:, None]
    )
    gaps = np.zeros(hair.shape, np.uint8)
    for y, x in places[:: max(1, len(places) // 6)]:
        cv2.circle(gaps, (int(x), int(y)), 4, (1,), cv2.FILLED)
    portrait[gaps > 0] = (90, 140, 215)
    # When the person is cut out / Then another background is seen through them, and the hair around them is whole
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert np.median(cut[cv2.erode(gaps, np.ones((3, 3), np.uint8)) > 0]) < 60
    around = (cv2.dilate(gaps, np.ones((15, 15), np.uint8)) > cv2.dilate(gaps, np.ones((5, 5), np.uint8))) & hair
    assert np.percentile(cut[around & (inwards > 14)], 5) > 230


def test_a_picture_that_ends_below_the_crown_is_cut_out() -> None:
    # Given a picture of a person with dark hair that ends above the eyes
    portrait, landmarks, person, _ = dark_haired_before((17, 11, 9))
    top = round(float(landmarks[mesh.LEFT_SIDE, 1] - 0.1 * np.ptp(landmarks[:, 1])))
    landmarks[:, 1] -= top
    # When the person is cut out / Then the face is whole
    shown = portrait[top:].copy()
    cut = split_person(shown, landmarks, find_person(shown, landmarks, person[top:].copy())).cut
    x, y = landmarks[mesh.CHIN, :2].round().astype(int)
    assert cut[: y - 20, x].min() > 250


@pytest.mark.parametrize(("share", "told"), [(0.55, True), (0.0, False)], ids=["thin", "none"])
def test_thin_hair_beside_the_neck_is_half_transparent_and_told(share: float, told: bool) -> None:
    # Given hair beside the neck through which an even wall is seen, and a segmentation that is half sure of it
    portrait, landmarks, person, _ = dark_haired_before((165, 160, 156))
    chin, right = landmarks[mesh.CHIN], landmarks[mesh.RIGHT_SIDE]
    y = int(0.65 * chin[1] + 0.35 * right[1])
    x = int(np.flatnonzero(person[y] > 0.5)[-1])
    portrait[y - 70 : y + 70, x - 60 : x + 30][person[y - 70 : y + 70, x - 60 : x + 30] >= 0.1] = 205, 146, 118
    thin = np.zeros(person.shape, np.uint8)
    cv2.ellipse(thin, (x + 8, y), (22, 42), 0, 0, 360, (1,), cv2.FILLED)
    place = (thin > 0) & (person < 0.1)
    if share:
        portrait[place] = np.round(share * np.array((14, 8, 6)) + (1 - share) * np.array((165, 160, 156)))
        person[place] = 0.6
    # When the person is cut out
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    # Then it is as thin in the cut-out, and its outline is told to be a guess
    inner = cv2.erode(place.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert bool(90 < np.median(matte.cut[inner]) < 200) is told
    assert matte.guessed is told


def test_the_skin_of_an_ear_beside_hair_is_whole() -> None:
    # Given a narrow ear beside dark hair, before a wall whose grey is between both, and a segmentation that is rather sure of it
    portrait, landmarks, person, _ = dark_haired_before((125, 131, 142))
    x, y = (round(float(value)) for value in landmarks[mesh.LEFT_SIDE, :2])
    across = float(landmarks[mesh.RIGHT_SIDE, 0] - landmarks[mesh.LEFT_SIDE, 0])
    columns = np.arange(SIDE)
    portrait[:, columns < x + 60], person[:, columns < x - 2] = (14, 8, 6), 0.0
    portrait[:, columns < x - 2] = 125, 131, 142
    ear = np.zeros(person.shape, np.uint8)
    cv2.ellipse(ear, (x - 8, y), (9, round(0.12 * across)), 0, 0, 360, (1,), cv2.FILLED)
    portrait[ear > 0] = 150, 78, 64
    person[ear > 0] = np.maximum(person[ear > 0], 0.6)
    # When the person is cut out / Then nothing of another background is seen through it
    cut = split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut
    assert np.percentile(cut[cv2.erode(ear, np.ones((5, 5), np.uint8)) > 0], 5) > 240
