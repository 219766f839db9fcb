"""What lies beside the hair: strands move with the head, and the background that comes to light is like the rest of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.face.mesh import FloatArray
from stages.face.rig.matting.flyaway import move_strands
from stages.face.rig.matting.matte import Matte, Picture, background_share
from stages.face.rig.matting.wall_texture import texture_wall
from stages.face.sampling import blur

SIDE = 300


@pytest.fixture
def head() -> Picture:
    """Alpha of a head, in the lower left of the picture."""
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(alpha, (100, 220), 100, (255,), cv2.FILLED)
    return alpha


def wall(softness: float) -> Picture:
    """A background with light and dark places that are as large as `softness`, px."""
    spots: FloatArray = blur(np.random.default_rng(0).standard_normal((SIDE, SIDE, 3), np.float32), softness)
    return np.asarray(np.clip(128 + 30 * spots / spots.std(), 0, 255), np.uint8)


def with_strands(background: Picture, bright: int, dark: int) -> Picture:
    """A bright and a dark strand from the head outwards."""
    picture = background.copy()
    cv2.line(picture, (160, 160), (185, 135), (bright,) * 3, 2, cv2.LINE_AA)
    cv2.line(picture, (180, 180), (205, 165), (dark,) * 3, 2, cv2.LINE_AA)
    return picture


def split(picture: Picture, alpha: Picture, behind: Picture) -> tuple[Matte, Picture]:
    """A matte that leaves everything outside the head to the background, with strands taken out; and what it composes."""
    plate = np.where(alpha[..., None] > 0, behind, picture)
    made = move_strands(picture, Matte(alpha, alpha, plate))
    share = background_share(made.plate, made.alpha)
    figure = cv2.subtract(picture, share)
    return made, np.asarray(cv2.add(figure, share), np.uint8)


def test_strands_before_a_background_out_of_focus_move_with_the_head(head: Picture) -> None:
    """Nothing of them stays in the background, whether they are brighter or darker than it, and at rest the picture is exact."""
    soft = wall(15)
    picture = with_strands(soft, 250, 5)
    made, composed = split(picture, head, soft)
    left = np.abs(made.plate.astype(int) - soft)[head == 0]
    assert left.max() < 25
    assert (composed == picture).all()


def test_what_the_background_has_elsewhere_too_stays_in_it(head: Picture) -> None:
    """A sharp background is not torn along the head, nor is a soft stripe that ends there."""
    sharp = wall(0.6)
    assert (split(sharp, head, sharp)[0].plate == sharp).mean() > 0.95
    stripe = np.full((SIDE, SIDE, 3), 170, np.uint8)
    stripe[95:107] = 60
    stripe = np.asarray(blur(stripe, 3.0), np.uint8)
    assert np.abs(split(stripe, head, stripe)[0].plate.astype(int) - stripe).max() < 12


def test_the_wall_that_comes_to_light_beside_the_head_has_the_texture_of_the_rest_and_no_hair(head: Picture) -> None:
    # Given a wall of gravel, filled smoothly behind a dark head, whose finest hair was left to the wall
    gravel = wall(1.5)
    apart = cv2.distanceTransform((head == 0).astype(np.uint8), cv2.DIST_L2, 5)
    behind = cv2.distanceTransform((head > 0).astype(np.uint8), cv2.DIST_L2, 5)
    hair, uncovered = (apart > 2) & (apart <= 3.5), (behind > 1) & (behind < 0.04 * SIDE)
    picture = np.where(hair[..., None], 0.6 * gravel, gravel)
    picture = np.where((head > 0)[..., None], 20, picture).astype(np.uint8)
    smooth = np.where(head[..., None] > 0, 128, picture).astype(np.uint8)
    made = texture_wall(picture, Matte(head, head, smooth))
    # Then what the head uncovers is rough as the wall is, no outline of hair is left in it, and the rest is as it was
    assert made.plate[uncovered].std() > 0.45 * gravel.std()
    assert picture[hair].mean() < 80
    assert made.plate[hair].mean() > 100
    assert (made.plate[apart > 0.03 * SIDE] == picture[apart > 0.03 * SIDE]).all()
    # And at rest the picture is exact
    share = background_share(made.plate, made.alpha)
    assert (cv2.add(cv2.subtract(picture, share), share) == picture).all()


def test_an_object_beside_the_head_is_not_seen_twice(head: Picture) -> None:
    """A plain wall with a dark bar that ends at the head keeps its filling: no line of it is mirrored."""
    plain = np.full((SIDE, SIDE, 3), 170, np.uint8)
    plain[95:107] = 60
    filled = np.where(head[..., None] > 0, 150, plain).astype(np.uint8)
    made = texture_wall(np.where(head[..., None] > 0, 20, plain).astype(np.uint8), Matte(head, head, filled))
    assert np.abs(made.plate.astype(int) - filled)[head > 0].max() < 40
    assert (made.plate == plain)[head == 0].mean() > 0.99
