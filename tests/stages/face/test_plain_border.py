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


@pytest.mark.parametrize("busy", ["leaves", "horizon"])
@pytest.mark.parametrize("border", [_ABOVE, _LEFT, _RIGHT])
def test_no_busy_background_goes_on(busy: str, border: tuple[int, int, int, int]) -> None:
    shown = wall().astype(np.float64)
    near = np.s_[:60] if border == _ABOVE else np.s_[:, :60] if border == _LEFT else np.s_[:, -60:]
    if busy == "leaves":
        noise = np.random.default_rng(1).normal(0, 1, (_SIZE, _SIZE, 1))
        shown[near] += 25 * (lambda soft: soft / soft.std())(cv2.GaussianBlur(noise, (0, 0), 8))[near][..., None]
    elif border == _ABOVE:
        shown[:60, 300:] += 60
    else:
        shown[300:][near] += 60
    assert not unseen(np.clip(shown, 0, 255).astype(np.uint8), person(), border)
    # The other borders are as plain as before
    others = [one for one in (_ABOVE, _LEFT, _RIGHT) if one != border]
    assert busy == "horizon" or all(
        unseen(np.clip(shown, 0, 255).astype(np.uint8), person(), one)
        for one in others
        if border != _ABOVE and one != _ABOVE
    )


def test_a_picture_that_cannot_be_split_does_not_go_on() -> None:
    assert not goes_on_unseen(wall(), Matte.empty(), _SIDES)
