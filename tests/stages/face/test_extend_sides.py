"""A portrait is extended beyond its left and right borders: what is cut there goes on, or gives way softly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.face.rig.matting.extend import extend
from stages.face.rig.matting.matte import Matte, background_share
from tests.support.stages.extended import SIZE, disc, scene


@pytest.mark.parametrize("side", [1, 3])
def test_a_person_at_the_side_keeps_an_outline_that_goes_out_of_focus(side: int) -> None:
    # Given a person whom the left or the right border cuts, with a striped coat, before a wall
    margin = 150
    middle, width = (10 if side == 1 else SIZE - 10, 120), SIZE + margin
    cut = disc(middle, 45, SIZE, SIZE, 0, 0)
    picture, matte = scene(cut)
    picture[::6][cut[::6] > 250] = (20, 20, 90)
    # When the picture is extended softly at that side
    larger, whole = extend(picture, matte, (0, margin * (side == 1), 0, margin * (side == 3)), soft=True)
    # Then the person goes on there, nearly as it was, without the edge that it has inside
    added = np.s_[:, :margin] if side == 1 else np.s_[:, -margin:]
    true = disc(middle, 45, width, SIZE, -margin if side == 1 else 0, 0)[added]
    assert np.abs(whole.alpha[added].astype(int) - true).sum() <= 0.42 * true.sum()
    tip = whole.alpha[120, :margin] if side == 1 else whole.alpha[120, -margin:]
    assert tip.max() == 255
    assert np.abs(np.diff(tip.astype(int))).max() < 60
    # And its stripes are faint where it begins to be made up, so that they are seen to turn back nowhere
    border = np.s_[100:140, margin - 8 : margin + 4] if side == 1 else np.s_[100:140, -margin - 4 : -margin + 8]
    assert np.abs(np.diff(larger[border].astype(int), axis=0)).max() < 60
    # And the person is as sharp as before farther inside, and the layers together are the picture
    inside = np.s_[:, margin + 24 :] if side == 1 else np.s_[:, : -margin - 24]
    there = np.s_[:, 24:] if side == 1 else np.s_[:, :-24]
    assert (larger[inside] == picture[there])[cut[there] > 254].all()
    assert (whole.alpha[inside] == cut[there]).all()
    behind = background_share(whole.plate, whole.alpha)
    assert (cv2.add(cv2.subtract(larger, behind), behind) == larger).all()


@pytest.mark.parametrize("side", [1, 3])
def test_beside_an_ear_at_the_border_hair_goes_on(side: int) -> None:
    # Given a person with dark hair whose ear touches the border
    margin, skin, hair = 100, (220, 150, 130), (50, 38, 30)
    cut = disc((40 if side == 1 else SIZE - 40, 120), 90, SIZE, SIZE, 0, 0)
    picture, matte = scene(cut)
    picture[cut > 127] = hair
    at = 8 if side == 1 else SIZE - 8
    bare = disc((at, 120), 16, SIZE, SIZE, 0, 0) > 127
    picture[bare] = skin
    # When the picture is extended at that side
    larger, whole = extend(
        picture, matte, (0, margin * (side == 1), 0, margin * (side == 3)), np.array(skin, np.float32), bare=bare
    )
    # Then there is no second ear
    added = np.s_[:, :margin] if side == 1 else np.s_[:, -margin:]
    inner = larger[added][whole.alpha[added] > 254].astype(int)
    assert len(inner) > 1000
    assert np.abs(inner - hair).max() < 40


@pytest.mark.parametrize("side", [1, 3])
def test_what_becomes_larger_at_the_side_gives_way_to_the_background(side: int) -> None:
    # Given somebody of whom the left or the right border shows the smaller part, in a striped coat, before a wall
    margin = 150
    cut = disc((-40 if side == 1 else SIZE + 40, 120), 90, SIZE, SIZE, 0, 0)
    picture, matte = scene(cut)
    picture[::6][cut[::6] > 250] = (20, 20, 90)
    # When the picture is extended softly at both sides
    larger, whole = extend(picture, matte, (0, margin, 0, margin), soft=True)
    # Then nothing of them has an outline beyond the border, and the matte ends softly
    added = np.s_[:, :margin] if side == 1 else np.s_[:, -margin:]
    assert not whole.alpha[added].any()
    assert not whole.cut[added].any()
    border = np.s_[120, margin - 40 : margin + 40] if side == 1 else np.s_[120, -margin - 40 : -margin + 40]
    assert np.abs(np.diff(whole.alpha[border].astype(int))).max() < 40
    # And the coat's colour and stripes fade: no edge at the border is as strong as the stripes, and the far end is the wall's
    across = np.abs(np.diff(larger.astype(int), axis=1)).max()
    down = np.abs(np.diff(larger[added].astype(int), axis=0)).max()
    assert across <= np.abs(np.diff(picture.astype(int), axis=1)).max()
    assert down < 20
    end = larger[110:130, 0 if side == 1 else -1].astype(int)
    assert np.abs(end - picture[5, 0 if side == 1 else -1]).max() < 25
    # And the middle is as it was, and the layers together are the picture
    assert (larger[:, margin + 40 : -margin - 40] == picture[:, 40:-40]).all()
    behind = background_share(whole.plate, whole.alpha)
    assert (cv2.add(cv2.subtract(larger, behind), behind) == larger).all()


@pytest.mark.parametrize("side", [1, 3])
def test_a_loose_thing_at_the_side_is_not_cut_off(side: int) -> None:
    # Given a picture with a green thing at its border that is part of the figure, but not of the person
    margin = 150
    cut = disc((SIZE / 2, 160), 60, SIZE, SIZE, 0, 0)
    picture, matte = scene(cut)
    wall = matte.plate.copy()
    thing = np.s_[60:120, :40] if side == 1 else np.s_[60:120, -40:]
    picture[thing] = (20, 160, 60)
    raised = cut.copy()
    raised[thing] = 255
    # When the picture is extended softly at that side
    larger, whole = extend(picture, Matte(raised, cut, wall), (0, margin, 0, margin), soft=True)
    # Then it fades there, and the layers together are the picture
    border = np.s_[70:110, margin - 10 : margin + 10] if side == 1 else np.s_[70:110, -margin - 10 : -margin + 10]
    assert np.abs(np.diff(larger[border].astype(int), axis=1)).max() < 12
    behind = background_share(whole.plate, whole.alpha)
    assert (cv2.add(cv2.subtract(larger, behind), behind) == larger).all()
