"""Pictures of all sizes: a face is found in each, and the portrait has the size that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stages.face
from daemon.config.stage_settings import FaceStage
from stages.face.output_frame import choose_output_frame
from tests.support.stages.picture_jobs import (
    drawn,
    encoded,
    face_of,
    job,
    portrait_of,
)

pytestmark = pytest.mark.usefixtures("models")


def test_a_small_face_in_a_large_picture_is_found(tmp_path: Path) -> None:
    # Given a face of 132 px in a picture of 45 million pixels, too small to be seen in the picture as a whole
    crowd = np.random.default_rng(0).integers(40, 220, (560, 800, 3), np.uint8)
    picture = Image.fromarray(crowd).resize((8000, 5600), Image.Resampling.BILINEAR)
    picture.paste(drawn().resize((280, 280)), (4300, 2600))
    ctx = job(tmp_path / "job", encoded(picture, "JPEG"), {"min_face_px": 64}, kind="detect")
    # When the stage runs
    facts = stages.face.run(ctx)
    # Then it is found where it is, with its size in the file's own pixels
    x, y, width, height = face_of(ctx)["box"]
    scale = 8000 / face_of(ctx)["width"]
    assert facts["face_px"] == pytest.approx(132, abs=10)
    assert 4300 < (x + width / 2) * scale < 4580
    assert 2600 < (y + height / 2) * scale < 2880


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({}, (638, 558)),
        ({"size": "480x270"}, (480, 270)),
        ({"aspect": "9:16"}, (314, 558)),
        ({"aspect": "1:1"}, (558, 558)),
        ({"quality": "draft"}, (320, 280)),
        ({"quality": "draft", "size": "480x270"}, (240, 136)),
    ],
)
def test_the_output_has_the_size_that_was_asked_for_and_even_sides(
    wanted: dict[str, Any], size: tuple[int, int], tmp_path: Path
) -> None:
    # Given a picture with odd sides; only a video can be a draft
    kind: dict[str, Any] = {"kind": "video", "text": "Hello."} if "quality" in wanted else {"kind": "detect"}
    ctx = job(tmp_path / "job", drawn().crop((0, 0, 639, 559)), fit="crop", **kind, **wanted)
    # When the stage runs
    facts = stages.face.run(ctx)
    # Then the portrait has that size, the face is whole, and untouched pixels are the picture's own
    x, y, width, height = face_of(ctx)["box"]
    assert (facts["width"], facts["height"]) == portrait_of(ctx).shape[1::-1] == size
    assert min(x, y) > 0
    assert x + width < size[0]
    assert y + height < size[1]
    if not wanted:
        source, shown = np.asarray(drawn()), portrait_of(ctx)
        assert any((shown == source[top : top + 558, left : left + 638]).all() for top in (0, 1) for left in (0, 1))


def test_a_large_picture_is_brought_down_to_the_limit(tmp_path: Path) -> None:
    # Given a limit of 400 px
    ctx = job(tmp_path / "job", drawn(), kind="detect", limits={"max_side_px": 400})
    # When, then
    assert stages.face.run(ctx)["width"] == 400


@pytest.mark.parametrize(
    ("picture", "aspect", "video"),
    [
        ((4000, 3000), None, (1440, 1080)),
        ((3000, 4000), None, (1080, 1440)),
        ((3000, 3000), None, (1080, 1080)),
        ((4000, 3000), (16, 9), (1920, 1080)),
        ((3000, 4000), (9, 16), (1080, 1920)),
        ((4000, 1600), None, (1920, 768)),
        ((800, 600), None, (800, 600)),
    ],
    ids=str,
)
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_video_without_size_is_at_most_full_hd_in_either_direction(
    picture: tuple[int, int], aspect: tuple[int, int] | None, video: tuple[int, int], fit: str
) -> None:
    limit = FaceStage().max_side_px
    frame = choose_output_frame(picture, (picture[0] / 2, picture[1] / 2), None, aspect, limit, fit)
    found = frame.video_width, frame.video_height
    if fit == "crop" or aspect is None:  # borders are added around the whole picture
        assert found == video
    assert (min(found) <= 1080, max(found) <= 1920) == (True, True)
