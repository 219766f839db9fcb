"""A portrait goes on beyond its borders only in front of a plain wall, and where no more than shoulders is cut."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.face.rig.matting.matte import Matte
from stages.face.rig.matting.plain_border import goes_on_unseen

Picture = npt.NDArray[np.uint8]

_SIZE = 600
_ABOVE, _SIDES, _LEFT, _RIGHT = (200, 0, 0, 0), (0, 200, 0, 200), (0, 200, 0, 0), (0, 0, 0, 200)


def wall() -> Picture:
    """A grainy wall that becomes lighter to the right and downwards."""
    y, x = np.mgrid[0:_SIZE, 0:_SIZE] / _SIZE
    grain = np.random.default_rng(0).normal(0, 4, (_SIZE, _SIZE))
    return np.repeat(np.clip(90 + 40 * x + 30 * y + grain, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def person(*more: tuple[tuple[int, int], int]) -> Picture:
    """The matte of a person who stands on the lower border, and of more discs: middle and radius."""
    cut = np.zeros((_SIZE, _SIZE), np.uint8)
    for middle, radius in (((300, 270), 190), ((300, 640), 240), *more):
        cv2.circle(cut, middle, radius, (255,), cv2.FILLED, cv2.LINE_AA)
    return cut


def unseen(background: Picture, cut: Picture, margins: tuple[int, int, int, int]) -> bool:
    """Whether the picture of that person before that background goes on unseen."""
    return goes_on_unseen(background, Matte(cut, cut, background), margins)


@pytest.mark.parametrize("margins", [_ABOVE, _SIDES])
def test_a_plain_wall_goes_on(margins: tuple[int, int, int, int]) -> None:
    assert unseen(wall(), person(), margins)


def test_shoulders_go_on_and_hair_does_not() -> None:
    shoulders, hair, crown = (((40, 620), 120), ((560, 620), 120)), ((560, 250), 90), ((300, 90), 120)
    assert unseen(wall(), person(*shoulders), _SIDES)
    # Hair at the right does not matter at the left
    assert [unseen(wall(), person(hair), side) for side in (_LEFT, _RIGHT, _SIDES)] == [True, False, False]
    assert [unseen(wall(), person(crown), side) for side in (_ABOVE, _SIDES)] == [False, True]


@pytest.mark.parametrize("busy", ["leaves", "a soft horizon", "a thin line"])
@pytest.mark.parametrize("border", [_ABOVE, _LEFT, _RIGHT])
def test_no_busy_background_goes_on(busy: str, border: tuple[int, int, int, int]) -> None:
    # Given a wall that is faintly uneven near one border, or has a line there, or becomes lighter within a sixth of its length
    along = np.arange(_SIZE, dtype=np.float64)
    if busy == "leaves":
        noise = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (_SIZE, 60)), (0, 0), 8)
        marks = 7 * np.sign(noise)
    elif busy == "a soft horizon":
        marks = np.repeat(40 * np.clip((along - 250) / 100, 0, 1)[:, None], _SIZE, axis=1)
    else:
        marks = np.repeat(-30.0 * ((along >= 80) & (along < 84))[:, None], 60, axis=1)
    shown = wall().astype(np.float64)
    deep = marks.shape[1]
    near = {_ABOVE: shown[:deep].swapaxes(0, 1), _LEFT: shown[:, :deep], _RIGHT: shown[:, -deep:]}[border]
    near += marks[..., None]
    picture = np.clip(shown, 0, 255).astype(np.uint8)
    # When it is judged there / Then it does not go on, and the side across does
    assert not unseen(picture, person(), border)
    assert border == _ABOVE or deep == _SIZE or unseen(picture, person(), {_LEFT: _RIGHT, _RIGHT: _LEFT}[border])


def test_a_picture_that_cannot_be_split_does_not_go_on() -> None:
    assert not goes_on_unseen(wall(), Matte.empty(), _SIDES)
