"""Hair that reaches into the background: it moves with the head, and the background does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.face.mesh import FloatArray
from stages.face.rig.matting.flyaway import move_strands
from stages.face.rig.matting.matte import Matte, Picture, background_share
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
