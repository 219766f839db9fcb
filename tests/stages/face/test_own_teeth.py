"""The teeth that a smile shows: found when the row is whole, and told from the lower ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stages.face
from stages.context import Context
from stages.face import mesh
from stages.face.rig.colours import FaceColours
from stages.face.rig.face_frame import FaceBox, FaceFrame
from stages.face.rig.lipline import lip_curves
from stages.face.rig.own_teeth import OwnTeeth, find_own_teeth
from tests.support.stages.picture_jobs import face_of, job, portrait_of, smiling

pytestmark = pytest.mark.usefixtures("models", "known_faces")

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: A mouth that is open farther than in the picture.
OPENED = 1.4


@pytest.fixture(scope="module")
def smile(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A job with a smile that shows the upper teeth, after its stage face."""
    ctx = job(tmp_path_factory.mktemp("smile") / "job", smiling())
    stages.face.run(ctx)
    return ctx


def landmarks_of(ctx: Context) -> FloatArray:
    return np.array(face_of(ctx)["landmarks"], np.float32)


def teeth_in(ctx: Context, picture: Picture, opened: float = 1.0) -> OwnTeeth | None:
    """Find the teeth; the lower lip's edge lies at the fraction `opened` of the picture's opening."""
    points = landmarks_of(ctx)
    frame = FaceFrame.of(points)
    curves: Any = [frame.local(curve) for curve in lip_curves(portrait_of(ctx), points, frame)]
    curves[1] = curves[0] + opened * (curves[1] - curves[0])
    tones = FaceColours.of(portrait_of(ctx), points)
    box = FaceBox.within(picture, frame, (0, 0, picture.shape[1], picture.shape[0]))
    return find_own_teeth(box, curves, tones)


def shown_teeth(smile: Context) -> npt.NDArray[np.bool_]:
    """Return where the row of teeth is, in a mouth that is open as far as `OPENED`."""
    found = teeth_in(smile, portrait_of(smile), OPENED)
    assert found is not None
    assert found.row is not None
    return found.row[..., 3] > 128


def test_own_teeth_are_used_when_whole_and_not_with_a_gap(smile: Context) -> None:
    # Given a smile that shows the upper teeth, and the same with a dark hole in the row
    whole, points = portrait_of(smile), landmarks_of(smile)[:, :2]
    middle = points[[13, 14]].mean(axis=0)
    gap = round(0.13 * mesh.mouth_width(points))
    holed = whole.copy()
    x, y = (round(float(value)) for value in middle)
    holed[y - 2 * gap : y + 2 * gap, x : x + gap] = (40, 22, 18)
    # When, then
    found, broken = teeth_in(smile, whole), teeth_in(smile, holed)
    assert found is not None
    assert found.row is not None
    assert broken is None or broken.row is None
    # When the lower lip covers the lower half of the teeth / Then they are not used, because their ends are unknown
    hidden = teeth_in(smile, whole, opened=0.5)
    assert hidden is not None
    assert hidden.row is None


def test_own_teeth_are_not_used_where_a_lower_one_is_joined_to_them(smile: Context) -> None:
    # Given a smile, opened farther, and the same with a tooth that seems longer by half
    whole, shown = portrait_of(smile), shown_teeth(smile)
    x, half = round(float(landmarks_of(smile)[13, 0])), round(0.05 * mesh.mouth_width(landmarks_of(smile)))
    column = x - 3 * half
    end, height = int(np.flatnonzero(shown[:, column])[-1]), int(shown[:, column].sum())
    joined = whole.copy()
    joined[end - 3 : end + height // 2, column - half : column + half] = whole[end - height // 3, column]
    # When, then
    together = teeth_in(smile, joined, OPENED)
    assert together is not None
    assert together.row is None


@pytest.mark.parametrize("as_light", [0, 5])
def test_own_teeth_end_where_lower_ones_in_their_shade_begin(as_light: int, smile: Context) -> None:
    # Given a smile, opened farther, and the same with lower teeth right below the upper ones: a little darker, some hardly
    whole, shown = portrait_of(smile), shown_teeth(smile)
    columns = np.flatnonzero(shown.any(axis=0))
    ends = np.array([np.flatnonzero(shown[:, column])[-1] for column in columns])
    both = whole.copy()
    for column, end in zip(columns, ends, strict=True):
        shade = 0.96 if column // 4 % 9 < as_light else 0.8
        both[end - 1 : end + shown[:, column].sum(), column] = shade * whole[end - 4, column]
    # When, then
    together = teeth_in(smile, both, OPENED)
    assert together is not None
    assert together.row is not None
    middle = slice(len(columns) // 4, -len(columns) // 4)
    lasts = [np.flatnonzero(together.row[:, column, 3] > 128)[-1] for column in columns[middle]]
    assert np.abs(np.array(lasts) - ends[middle]).max() < 0.04 * mesh.mouth_width(landmarks_of(smile))


def test_colour_of_teeth_is_that_of_the_lit_ones(smile: Context) -> None:
    # Given a smile, and the same with most of the row in the lips' reddish shade
    lit, points = portrait_of(smile), landmarks_of(smile)[:, :2]
    end = round(float(points[[13, 14], 0].mean() + 0.05 * mesh.mouth_width(points)))
    shaded = lit.copy()
    shaded[:, :end] = shaded[:, :end] * np.array([0.90, 0.80, 0.75])
    # When the teeth are found in both / Then their colour is about the same; the median of the brighter half is 31 levels darker
    found, dim = teeth_in(smile, lit), teeth_in(smile, shaded)
    assert found is not None
    assert dim is not None
    assert np.abs(dim.colour - found.colour).max() < 25
