"""Videos of another shape than the picture: the head stays whole, borders stand still, captions stand clear of the face."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stages.face
from stages.context import Context
from stages.encode.captions.place import FaceHeights, choose_place
from stages.encode.framing import frames_of_job
from stages.face.output_frame import Box, choose_output_frame, head_box
from stages.face.placement import Placement
from stages.face.rig.matting.extend import Inner
from stages.lipsync.motion_track import PARAMETERS, MotionTrack
from tests.support.endurance import repeats
from tests.support.stages.picture_jobs import drawn, encoded, face_of, job, portrait_of

Picture = npt.NDArray[np.uint8]

_SIDE = st.integers(200, 1600)
_SHAPE = st.sampled_from([(9, 16), (16, 9), (1, 1), (4, 5), (3, 1)])


@settings(max_examples=repeats("AVATAR_FUZZ", 60, 300))
@given(_SIDE, _SIDE, st.tuples(*[st.floats(0, 1)] * 4), _SHAPE, st.sampled_from(["auto", "crop", "pad", "blur"]),
       st.booleans(), st.booleans(), st.booleans())  # fmt: skip
def test_the_video_has_its_shape_and_the_head_is_whole(
    width: int, height: int, part: tuple[float, ...], shape: tuple[int, int], fit: str,
    sized: bool, cut_out: bool, draft: bool,
) -> None:  # fmt: skip
    # Given a head anywhere in a picture of any shape, and how the video is to be framed
    left, right = sorted((part[0] * width, part[1] * width))
    top, bottom = sorted((part[2] * height, part[3] * height))
    head = Box(left, top, right + 1, bottom + 1).within(width, height)
    middle = ((left + right) / 2, (top + bottom) / 2)
    size = (shape[0] * 60, shape[1] * 60) if sized else None
    frame = choose_output_frame((width, height), middle, size, None if sized else shape, 1080, fit, head, cut_out)
    if draft:
        frame = frame.halved()
    # Then all is even, the picture lies in the video, and the video has the shape that was asked for
    sides = (frame.width, frame.height, frame.video_width, frame.video_height, frame.left, frame.top)
    assert all(side % 2 == 0 for side in sides)
    assert min(frame.left, frame.top) >= 0
    assert frame.left + frame.width <= frame.video_width
    assert frame.top + frame.height <= frame.video_height
    assert abs(frame.video_width - frame.video_height * shape[0] / shape[1]) <= 2 + 2 * shape[0] / shape[1]
    # And pad and blur show the whole picture, auto the head but for a slight part, and all of the chin; crop fills the video
    shown = (frame.x, frame.y, frame.x + frame.crop_width, frame.y + frame.crop_height)
    if fit in ("pad", "blur"):  # but for the outermost pixels, if it is extended there
        edge = 1 + 0.01 * min(width, height) * cut_out
        assert max(shown[0], shown[1], width - shown[2], height - shown[3]) <= edge
    # And a person who is cut out has no borders
    assert not cut_out or frame.fills or frame.extended
    # And what is extended stands on the lower edge
    assert not frame.extended or frame.top + frame.height == frame.video_height
    if fit == "auto":
        edge = 1 + 0.01 * min(width, height) * (frame.extended or not frame.fills)
        across, down = (0.025 * frame.crop_width, 0.05 * frame.crop_height) if frame.fills else (0, 0)
        assert shown[0] <= head.left + edge + across
        assert shown[1] <= head.top + edge + down
        assert shown[2] >= head.right - edge - across
        assert shown[3] >= head.bottom - edge
    if fit == "crop":
        assert (frame.width, frame.height) == (frame.video_width, frame.video_height)


@settings(max_examples=repeats("AVATAR_FUZZ", 60, 300))
@given(st.floats(0.7, 1.4), st.tuples(*[st.floats(0, 0.4)] * 4), st.tuples(*[st.integers(500, 1100)] * 2))
def test_borders_are_wide_or_absent(ratio: float, beside: tuple[float, ...], picture: tuple[int, int]) -> None:
    # Given a head in a picture, and a video of nearly the picture's shape
    width, height = picture
    head = Box(beside[0] * width, beside[1] * height, (1 - beside[2]) * width, (1 - beside[3]) * height)
    size = 512, round(256 / (width / height * ratio)) * 2
    frame = choose_output_frame(picture, (width / 2, height / 2), size, None, 1080, "auto", head)
    # When what is added is seen, so that there are borders in its place
    frame = frame.bordered(head) if frame.extended else frame
    # Then they are wide, or all the picture beside the head is left out for them
    for part, video, scale, reach in (
        (frame.width, frame.video_width, frame.width / frame.crop_width, head.width),
        (frame.height, frame.video_height, frame.height / frame.crop_height, head.height),
    ):
        assert part == video or part <= max(0.86 * video, 1.14 * reach * scale) + 4
    # And the head is whole in all of its proportions
    assert frame.width / frame.crop_width == pytest.approx(frame.height / frame.crop_height, rel=0.01)
    assert frame.fills or (
        frame.x <= head.left + 0.01 * width and frame.x + frame.crop_width >= head.right - 0.01 * width
    )
    assert frame.fills or (
        frame.y <= head.top + 0.01 * height and frame.y + frame.crop_height >= head.bottom - 0.01 * height
    )


#: A part of the example that cuts the hair and the shoulders, one that does not, and one with more below the head, px.
_CLOSE, _WIDER, _LOWER = (90, 40, 570, 520), (0, 0, 640, 520), (0, 30, 640, 570)


def moved(folder: Path, part: tuple[int, int, int, int] = _CLOSE, **manifest: Any) -> tuple[Context, list[Picture]]:
    """A job about a part of the example, and its frames: at rest, and with the head to either side."""
    ctx = job(folder, encoded(drawn(640).crop(part)), **manifest)
    stages.face.run(ctx)
    values = np.zeros((3, len(PARAMETERS)), np.float32)
    values[1:, PARAMETERS.index("head_yaw")] = 3.0, -3.0
    values[1:, PARAMETERS.index("head_x")] = 0.02, -0.02
    MotionTrack(values, Fraction(25), 0).save(ctx.path("motion.npz"))
    return ctx, [frame.to_bgr() for frame in frames_of_job(ctx).frames()]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("fit", ["pad", "blur", "auto"])
def test_borders_stand_still_around_the_moving_person(fit: str, tmp_path: Path) -> None:
    # Given a close crop as a vertical video with borders
    ctx, frames = moved(tmp_path / "job", aspect="9:16", fit=fit)
    place = Placement.of_job(ctx)
    around = np.ones((place.height, place.width), bool)
    # two rows at the picture's edge share their chroma with it, and the figure moves there
    around[max(place.top - 2, 0) : place.bottom + 2, max(place.left - 2, 0) : place.right + 2] = False
    assert around.mean() > 0.2
    # Then nothing outside of the picture changes, and inside the head moves
    for frame in frames:
        assert frame.shape[:2] == (place.height, place.width)
        assert np.array_equal(frame[around], frames[0][around])
        assert fit != "pad" or frame[2].max() <= 3
    assert (frames[1] != frames[2])[~around].any()
    # And more of the border lies below, for captions, and but for `pad`, it shows the picture, darker
    if fit != "pad":
        assert place.top == pytest.approx((place.height - place.bottom) / (3 if fit == "auto" else 1), abs=2)
        own, below = portrait_of(ctx), np.s_[place.bottom + 60 :]
        size = place.width, place.height
        height, width = own.shape[:2]
        larger = choose_output_frame((width, height), (width / 2, height / 2), size, None, max(size))
        assert 0.45 < frames[0][below].mean() / larger.render(own)[below].mean() < 0.65
    # And the head is whole
    head = head_box(np.array(face_of(ctx)["landmarks"], np.float32))
    assert (place.right - place.left, place.bottom - place.top) == portrait_of(ctx).shape[1::-1]
    assert head.within(*portrait_of(ctx).shape[1::-1]).width > 0.5 * place.width


def seam(frame: Picture, inner: Inner) -> float:
    """Fraction of the picture's border across which colours step more than anywhere in the 8 pixels inside of it."""
    rows = (frame if inner.top > 0 else frame.transpose(1, 0, 2)).astype(np.int32)
    steps = np.abs(np.diff(rows, axis=0)).max(axis=-1)
    at = inner.top or inner.left
    return float((steps[at - 1] > steps[at : at + 8].max(axis=0) + 8).mean())


def test_a_head_is_not_moved_far_down_by_what_is_added_above() -> None:
    """A square picture that a head fills gets borders in a vertical video; a small head may have more above."""
    large, small = (
        choose_output_frame((512, 512), (260, 260), None, (9, 16), 1080, "auto", Box(left, 10, right, bottom))
        for left, right, bottom in ((70, 450, 500), (100, 420, 150))
    )
    assert not large.extended
    assert 0.35 < (large.top + large.height / 2) / large.video_height < 0.45
    assert small.extended
    assert small.top > 0


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("part", "manifest"),
    [
        (_LOWER, {"aspect": "11:20"}),
        (_WIDER, {"aspect": "16:9"}),
        (_WIDER, {"aspect": "16:9", "background": "blur"}),
        (_CLOSE, {"aspect": "16:9", "background": "green", "fit": "pad"}),
        (_CLOSE, {"aspect": "16:9", "background": "transparent"}),
    ],
)
def test_a_picture_that_is_extended_has_no_seam(
    part: tuple[int, int, int, int], manifest: dict[str, Any], tmp_path: Path
) -> None:
    # Given a picture before a plain wall, or a person who is cut out of a close crop, in a video of another shape
    ctx, frames = moved(tmp_path / "job", part, **manifest)
    inner, place = Inner.of_record(face_of(ctx)), Placement.of_job(ctx)
    assert inner is not None
    # Then the picture fills the video, with the person on its lower edge
    assert place.fills
    assert inner.bottom == place.height == frames[0].shape[0]
    # And nothing ends where it ended in the picture
    assert seam(portrait_of(ctx), inner) < 0.05
    assert (frames[1] != frames[2]).any()


@settings(max_examples=repeats("AVATAR_FUZZ", 60, 300))
@given(st.sampled_from([(608, 1080), (1080, 1080), (1920, 1080), (320, 400)]), st.floats(-0.2, 0.9),
       st.floats(0.15, 1.2), st.integers(1, 2))  # fmt: skip
def test_captions_stand_clear_of_the_face_where_there_is_room(
    size: tuple[int, int], hair: float, length: float, lines: int
) -> None:
    # Given a head anywhere
    width, height = size
    face = FaceHeights(hair * height, (hair + 0.45 * length) * height, (hair + length) * height)
    block = lines * 0.052 * min(size)
    place = choose_place(face, width, height, block)
    start = place.margin if place.top else height - place.margin - block
    # Then captions lie inside the title-safe area
    assert start >= 0.05 * height - 1
    assert start + block <= 0.95 * height + 1
    assert place.side >= 0.05 * width - 1
    # And below the chin or above the brows wherever that is possible
    clear = start >= face.chin - 1 or start + block <= face.brows + 1
    possible = 0.95 * height - block >= face.chin + 1 or 0.05 * height + block <= face.brows - 1
    assert clear or not possible
