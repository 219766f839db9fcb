"""A portrait is extended beyond its borders: the person's outline goes on, and inside nothing changes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.face import mesh
from stages.face.rig.matting.extend import extend
from stages.face.rig.matting.hairline import forehead_colour
from stages.face.rig.matting.matte import Matte, background_share
from stages.face.rig.matting.patchwork import patchwork
from tests.support.endurance import repeats

Picture = npt.NDArray[np.uint8]

_SIZE = 240


def disc(middle: tuple[float, float], radius: float, width: int, height: int, left: int, top: int) -> Picture:
    """The matte of a round person, of whom a picture of this size shows the part from (left, top) on."""
    y, x = np.mgrid[top : top + height, left : left + width]
    return np.asarray(np.clip(radius - np.hypot(x - middle[0], y - middle[1]) + 0.5, 0, 1) * 255, np.uint8)


def scene(matte: Picture) -> tuple[Picture, Matte]:
    """A picture of red person before a wall that becomes lighter from left to right."""
    wall = np.broadcast_to(np.linspace(60, 180, matte.shape[1])[None, :, None], (*matte.shape, 3)).astype(np.uint8)
    person = np.full_like(wall, (200, 40, 30))
    front = np.asarray(cv2.multiply(person, cv2.merge([matte] * 3), scale=1 / 255), np.uint8)
    return np.asarray(cv2.add(front, background_share(wall, matte)), np.uint8), Matte(matte, matte, wall)


@settings(max_examples=repeats("AVATAR_EXTENSIONS", 15, 200), derandomize=True)
@example(0, 50.0, 30.0, 1.0)
@given(st.integers(0, 3), st.floats(50, 70), st.floats(20, 34), st.floats(-25, 25))
def test_a_round_person_is_round_beyond_the_border(side: int, radius: float, beyond: float, shift: float) -> None:
    # Given a disc that one border of the picture cuts
    margin = 100
    middle = _SIZE / 2 + shift, radius - beyond
    true = np.rot90(disc(middle, radius, _SIZE, _SIZE + margin, 0, -margin), side)
    inside = np.rot90(disc(middle, radius, _SIZE, _SIZE, 0, 0), side)
    picture, matte = scene(np.ascontiguousarray(inside))
    margins = tuple(margin if one == side else 0 for one in range(4))
    # When the picture is extended there
    larger, whole = extend(picture, matte, margins)  # type: ignore[arg-type]
    # Then the disc is completed, nearly as it was
    assert whole.alpha.shape == true.shape == larger.shape[:2]
    wrong, right = np.abs(whole.alpha.astype(int) - true).sum(), int(true.sum()) - int(inside.astype(int).sum())
    assert wrong <= 0.42 * right
    # And it has the person's colour, before a wall that has the wall's
    deep = (whole.alpha > 250) & (true > 250)
    wrong_by = np.sort(np.abs(larger[deep].astype(int) - (200, 40, 30)).max(axis=1))
    assert wrong_by[-3] <= 12  # but for a pixel on either side, where the outline meets the border and shows some wall
    assert wrong_by[-1] <= 20
    # And inside nothing changed, and the layers together are the picture
    at = (
        slice(margin * (side == 0), margin * (side == 0) + _SIZE),
        slice(margin * (side == 1), margin * (side == 1) + _SIZE),
    )
    assert (larger[at] == picture).all()
    assert (whole.alpha[at] == matte.alpha).all()
    behind = background_share(whole.plate, whole.alpha)
    assert (cv2.add(cv2.subtract(larger, behind), behind) == larger).all()


def test_a_person_ends_above_where_the_head_should() -> None:
    # Given a person whose upper part the border cuts
    margin = 100
    picture, matte = scene(disc((_SIZE / 2, 30), 70, _SIZE, _SIZE, 0, 0))

    def rows(crown: float | None) -> int:
        whole = extend(picture, matte, (margin, 0, 0, 0), crown=crown)[1]
        return int((whole.alpha[:margin].max(axis=1) > 127).sum())

    # When it is extended, with the head's end known / Then it ends there, and no farther out than the outline tells
    assert rows(36.0) == pytest.approx(36, abs=4)
    assert rows(80.0) == rows(None) > 36
    # And what should have ended inside goes on a little: an end along the border would look cut
    assert 20 < rows(-50.0) < 36


@pytest.mark.parametrize("margins", [(90, 0, 0, 0), (0, 300, 0, 300)])
def test_a_picture_that_cannot_be_split_goes_on_without_a_seam(margins: tuple[int, int, int, int]) -> None:
    clouds = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1200, (200, 200, 3)), (0, 0), 8) + 128
    picture = np.asarray(np.clip(clouds, 0, 255), np.uint8)
    larger, matte = extend(picture, Matte.empty(), margins)
    assert not matte
    assert larger.shape == (200 + margins[0], 200 + margins[1] + margins[3], 3)
    most, before = (
        max(int(np.abs(np.diff(one.astype(int), axis=axis)).max()) for axis in (0, 1)) for one in (larger, picture)
    )
    assert most <= before + 6


@pytest.mark.parametrize("lean", [-0.8, 0.0, 0.8])
def test_strands_of_hair_keep_their_direction_beyond_the_border(lean: float) -> None:
    # Given a wide person whose hair goes up to one side at the border
    margin = 60
    y, x = np.mgrid[-margin:_SIZE, 0:_SIZE]
    strands = 110 + 45 * np.sin((x + lean * y) / 2.5)
    true = np.repeat(strands[..., None], 3, axis=2).astype(np.uint8)
    cut = disc((_SIZE / 2, 70), 115, _SIZE, _SIZE, 0, 0)
    wall = np.full((_SIZE, _SIZE, 3), 200, np.uint8)
    front = cv2.multiply(true[margin:], cv2.merge([cut] * 3), scale=1 / 255)
    picture = np.asarray(cv2.add(front, background_share(wall, cut)), np.uint8)
    # When the picture is extended above
    larger, _ = extend(picture, Matte(cut, cut, wall), (margin, 0, 0, 0))
    # Then the strands beside it are where they would be
    near = slice(margin - 4, margin), slice(_SIZE // 2 - 35, _SIZE // 2 + 35)
    assert np.corrcoef(larger[near].ravel(), true[near].ravel())[0, 1] > 0.7
    # And farther out they have the same direction
    down, across = np.gradient(larger[margin - 28 : margin - 2, near[1], 0].astype(float))
    slope = np.tan(np.arctan2((2 * across * down).sum(), (across**2 - down**2).sum()) / 2)
    assert slope == pytest.approx(lean, abs=0.4)


def test_short_hair_is_not_drawn_out_into_stripes() -> None:
    # Given a wide person with short hair, whose tone changes as often upwards as sideways
    margin = 60
    fine = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 160, (_SIZE, _SIZE)), (0, 0), 2) + 90
    hair = np.repeat(np.clip(fine, 0, 255)[..., None], 3, axis=2).astype(np.uint8)
    cut = disc((_SIZE / 2, 70), 115, _SIZE, _SIZE, 0, 0)
    wall = np.full((_SIZE, _SIZE, 3), 200, np.uint8)
    front = cv2.multiply(hair, cv2.merge([cut] * 3), scale=1 / 255)
    picture = np.asarray(cv2.add(front, background_share(wall, cut)), np.uint8)
    # When the picture is extended above
    larger, _ = extend(picture, Matte(cut, cut, wall), (margin, 0, 0, 0))
    # Then its tone there still does
    down, across = np.gradient(larger[margin - 28 : margin - 2, _SIZE // 2 - 35 : _SIZE // 2 + 35, 0].astype(float))
    assert 0.8 < down.std() / across.std() < 1.25
    assert across.std() > 0.6 * np.gradient(hair[:40, :, 0].astype(float), axis=1).std()


def test_nothing_beside_the_border_is_seen_twice() -> None:
    # Given a wall with a light close to the border
    picture = np.full((_SIZE, _SIZE, 3), 60, np.uint8)
    cv2.circle(picture, (_SIZE // 2, 9), 4, (250, 250, 250), cv2.FILLED)
    # When the picture is extended there
    larger, _ = extend(picture, Matte.empty(), (80, 0, 0, 0))
    # Then there is no other beyond it
    assert larger[:80].max() < 80


@pytest.mark.parametrize("rough", [False, True])
def test_the_outline_stays_as_rough_as_it_is_below_the_border(rough: bool) -> None:
    # Given a person with a smooth outline, or with one of tufts
    y, x = np.mgrid[0:_SIZE, 0:_SIZE]
    angle = np.arctan2(y - 90.0, x - 120.0)
    radius = 100 + 5 * np.sin(40 * angle) * rough
    cut = np.asarray(np.clip(radius - np.hypot(x - 120, y - 90) + 0.5, 0, 1) * 255, np.uint8)
    picture, matte = scene(cut)
    # When the picture is extended above
    _, whole = extend(picture, matte, (60, 0, 0, 0))
    # Then its upper outline turns to and fro as often as that of the lower part, or nowhere
    crown = whole.cut[:60] > 127
    height = crown.sum(axis=0)[60:180].astype(float)
    turns = np.abs(height - cv2.GaussianBlur(height[:, None], (0, 0), 6)[:, 0]).mean()
    assert turns > 0.8 if rough else turns < 0.5


@pytest.mark.parametrize("hat", [False, True])
def test_a_forehead_between_hair_is_closed_by_hair_and_a_hat_is_not(hat: bool) -> None:
    # Given a person whom the border cuts at the forehead, with dark hair on both sides; or at a hat of two colours
    margin, middle = 90, _SIZE // 2
    skin, hair, cap = (220, 170, 150), (50, 38, 30), (40, 60, 200)
    cut = disc((middle, 60), 80, _SIZE, _SIZE, 0, 0)
    shown = np.full((_SIZE, _SIZE, 3), hair, np.uint8)
    shown[:, middle - 36 : middle + 36] = cap if hat else skin
    wall = np.full((_SIZE, _SIZE, 3), 200, np.uint8)
    front = cv2.multiply(shown, cv2.merge([cut] * 3), scale=1 / 255)
    picture = np.asarray(cv2.add(front, background_share(wall, cut)), np.uint8)
    # When the picture is extended above
    larger, whole = extend(picture, Matte(cut, cut, wall), (margin, 0, 0, 0), np.array(skin, np.float32))
    # Then the forehead goes on a little and ends under hair, and the hat goes on to its top
    column = larger[:margin, middle - 5 : middle + 5].mean(axis=1)
    top = int(np.flatnonzero(whole.cut[:margin, middle] > 250)[0])
    under = column[margin - 4]
    assert np.abs(under - (cap if hat else skin)).max() < 20
    assert (np.abs(column[top + 6] - hair).max() < 40) is not hat


def test_a_person_who_only_seems_to_touch_the_border_ends_there() -> None:
    # Given a person who ends five px below the border, whose matte goes on up to it, as segmentations do there
    cut = disc((_SIZE / 2, 105), 100, _SIZE, _SIZE, 0, 0)
    picture, matte = scene(cut)
    grown = cut.copy()
    grown[:8] = cut[8]
    # When the picture is extended above
    _, whole = extend(picture, Matte(grown, grown, matte.plate), (60, 0, 0, 0))
    # Then nothing of the person is beyond the border
    assert not whole.cut[:60].any()


def test_wall_that_was_taken_as_hair_at_the_border_does_not_keep_the_crown_open() -> None:
    # Given a person whose crown the border cuts, and whose matte has a strip of the wall beside it
    cut = disc((_SIZE / 2, 96), 100, _SIZE, _SIZE, 0, 0)
    picture, matte = scene(cut)
    grown = cut.copy()
    grown[:6, 140:178] = 255
    # When the picture is extended above
    _, whole = extend(picture, Matte(grown, grown, matte.plate), (60, 0, 0, 0))
    # Then the crown is closed above the person, and nothing is above the wall
    assert (whole.cut[:60, 110:130] > 250).sum(axis=0).min() >= 3
    assert not (whole.cut[:60, 166:] > 127).any()


def test_the_forehead_has_the_colour_of_skin_where_hair_covers_it() -> None:
    # Given a face whose forehead is under a fringe, or bare
    skin, hair = (220, 170, 150), (60, 45, 40)
    picture = np.full((_SIZE, _SIZE, 3), skin, np.uint8)
    around = np.linspace(0, 2 * np.pi, len(mesh.OVAL), endpoint=False)
    landmarks = np.full((478, 3), 120, np.float32)
    landmarks[list(mesh.OVAL), :2] = np.stack([120 + 70 * np.sin(around), 120 - 95 * np.cos(around)], axis=1)
    landmarks[50, :2], landmarks[280, :2] = (85, 140), (155, 140)
    fringe = picture.copy()
    fringe[:95] = hair
    # When its colour is measured / Then both have that of skin
    assert np.abs(forehead_colour(picture, landmarks) - skin).max() < 1
    assert np.abs(forehead_colour(fringe, landmarks) - skin).max() < 1


def test_hair_that_touches_the_border_is_not_cut_off_straight() -> None:
    # Given a person beside the border, whose locks reach it
    y, x = np.mgrid[0:_SIZE, 0:_SIZE]
    reach = 90 + 15 * np.clip(np.sin(x / 3), -0.4, 1)
    cut = np.asarray(np.clip(reach - np.hypot(x - 120, y - 98) + 0.5, 0, 1) * 255, np.uint8)
    picture, matte = scene(cut)
    # When the picture is extended above
    _, whole = extend(picture, matte, (60, 0, 0, 0))
    # Then each lock goes on a little, and they end at different heights
    locks = cut[0] > 127
    heights = (whole.cut[:60, locks] > 127).sum(axis=0)
    assert 0.05 < locks.mean() < 0.4
    assert 1 <= np.median(heights) <= 12
    assert heights.std() > 0.7


def test_another_persons_face_is_not_closed_as_if_it_were_the_persons() -> None:
    # Given a person of whom the segmentation took the neighbour's face, which the left border cuts, as a part
    skin = np.array((220, 170, 150), np.float32)
    cut = np.maximum(disc((150, 120), 60, _SIZE, _SIZE, 0, 0), disc((0, 110), 60, _SIZE, _SIZE, 0, 0))
    picture, matte = scene(cut)
    picture[cut > 127] = skin
    others = np.zeros((_SIZE, _SIZE), bool)
    others[60:160, :60] = True
    # When the picture is extended there
    _, alone = extend(picture, matte, (0, 80, 0, 0), skin)
    larger, whole = extend(picture, matte, (0, 80, 0, 0), skin, others)
    # Then nothing of that face belongs to the person beyond the border, and its colour goes on there without a seam
    assert alone.cut[:, :70].any()
    assert not whole.cut[:, :80].any()
    assert np.abs(larger[110, 76:84].astype(int) - skin.astype(int)).max() < 12
    # And it stays there when the person moves away from the border
    assert np.abs(whole.plate[110, 80:84].astype(int) - skin.astype(int)).max() < 12


@pytest.mark.parametrize("side", [1, 3])
def test_beside_an_ear_at_the_border_hair_goes_on(side: int) -> None:
    # Given a person with dark hair whose ear touches the border
    margin, skin, hair = 100, (220, 150, 130), (50, 38, 30)
    cut = disc((40 if side == 1 else _SIZE - 40, 120), 90, _SIZE, _SIZE, 0, 0)
    picture, matte = scene(cut)
    picture[cut > 127] = hair
    at = 8 if side == 1 else _SIZE - 8
    bare = disc((at, 120), 16, _SIZE, _SIZE, 0, 0) > 127
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


def test_hair_of_which_little_is_known_makes_no_pattern() -> None:
    # Given uneven hair of which one patch alone may go on above the border
    hair = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 160, (60, _SIZE)), (0, 0), 2) + 90
    below = np.repeat(np.clip(hair, 0, 255)[..., None], 3, axis=2).astype(np.uint8)
    none, tone = np.zeros(_SIZE, np.float32), np.full((130, _SIZE, 3), 90, np.float32)
    # When it goes on for the height of several patches
    made = patchwork(below, none, none, tone, _SIZE)[:, 30:-30, 0]
    # Then what is above does not repeat what is below, at any distance at which a patch could
    upper = made[:50]
    alike = [np.corrcoef(upper.ravel(), made[step : step + 50].ravel())[0, 1] for step in range(12, 50)]
    assert max(alike) < 0.4
