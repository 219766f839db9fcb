"""One portrait has one matte: what two sizes of video both show is the person in both, or in neither."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.face
from stages.context import Context
from stages.face.rig.matting.matte import Matte
from stages.face.rig.rig import load_measured_rig
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of, smiling

pytestmark = pytest.mark.usefixtures("models")

#: Alpha of what clearly is the person, and clearly is not: between them is a soft edge.
_PERSON, _WALL = 200, 60


def matte_of(ctx: Context) -> Matte:
    return load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx)).matte


def measured(folder: Path, picture: Image.Image, size: str) -> Context:
    ctx = job(folder, picture, fit="crop", size=size)
    stages.face.run(ctx)
    return ctx


def pieces(mask: npt.NDArray[np.bool_]) -> int:
    """How many pixels lie in pieces that are wider than a soft edge may move."""
    return int(cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).sum())


@pytest.mark.parametrize("picture", [drawn, smiling], ids=["drawn", "photo"])
def test_a_narrow_video_loses_nothing_of_the_person_that_a_square_one_shows(
    picture: Callable[[], Image.Image], tmp_path: Path
) -> None:
    # Given the same portrait in a square video, and in a narrow one at the same scale
    square, narrow = (measured(tmp_path / size, picture(), size) for size in ("640x640", "360x640"))
    # When both mattes are laid upon each other
    across = np.array(face_of(square)["landmarks"]) - np.array(face_of(narrow)["landmarks"])
    left = round(float(across[:, 0].mean()))
    whole, part = matte_of(square).alpha[:, left : left + 360], matte_of(narrow).alpha
    # Then no piece is the person in one of them alone
    assert pieces((whole > _PERSON) & (part < _WALL)) == 0
    assert pieces((whole < _WALL) & (part > _PERSON)) == 0


@pytest.mark.parametrize("make", [smiling, partial(drawn, 384)], ids=["photo", "small"])
def test_a_rig_that_left_the_cache_gets_the_same_matte_again(make: Callable[[], Image.Image], tmp_path: Path) -> None:
    # Given a portrait in a narrow video
    ctx = measured(tmp_path / "job", make(), "216x384")
    before = matte_of(ctx)
    # When its rig is gone, and only the files of the job are there
    shutil.rmtree(ctx.settings.paths.cache)
    after = matte_of(ctx)
    # Then the matte is the same, to the last bit
    assert (after.alpha == before.alpha).all()
    assert (after.cut == before.cut).all()
    assert (after.plate == before.plate).all()
