"""A chin near the picture's lower border: the head rises, and the jaw opens less, so that it stays in the picture."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

import stages.face
from stages.context import Context
from stages.face.mesh import CHIN, FloatArray
from stages.face.rig.head_bounds import REACH
from stages.face.rig.rig import Rig, load_measured_rig
from stages.face.rig.room.chin_room import chin_above_border
from stages.lipsync.motion_track import PARAMETERS
from tests.support.stages.picture_jobs import drawn, encoded, face_of, job, portrait_of

pytestmark = pytest.mark.usefixtures("models")

FPS = 25


def lowest(rig: Rig, values: FloatArray) -> npt.NDArray[np.float64]:
    """Height of the chin in each frame, px from the top."""
    x, y = rig.frame.picture(np.array([0.0, rig.frame.chin]))
    total = np.full(len(values), y + rig.zoom.by * (y - rig.zoom.y))
    for names, cells, fields in (
        (rig.head_names, rig.head_cells, rig.head),
        (rig.face_names, rig.face_cells, rig.lower),
    ):
        row, column = round(float(y) / rig.step) - cells.top, round(float(x) / rig.step) - cells.left
        total += values[:, [PARAMETERS.index(name) for name in names]] @ fields[:, row, column, 1]
    return total


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A face with much room below the chin, measured."""
    measured = job(tmp_path_factory.mktemp("wide"), encoded(drawn(640)))
    stages.face.run(measured)
    return measured


@pytest.fixture(scope="module")
def close(wide: Context, tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Context]:
    """Measures the same face with so little room below the chin: in parts of the face's height."""

    @functools.cache
    def measured(room: float) -> Context:
        scale = 640 / face_of(wide)["width"]
        chin, forehead = (scale * face_of(wide)["landmarks"][index][1] for index in (CHIN, 10))
        crop = encoded(drawn(640).crop((0, 0, 640, round(chin + room * (chin - forehead)))))
        found = job(tmp_path_factory.mktemp("close"), crop)
        stages.face.run(found)
        return found

    return measured


def test_a_head_rises_slowly_where_the_chin_would_leave_the_picture_and_else_not(
    wide: Context, close: Callable[[float], Context]
) -> None:
    # Given the same face with little and with much room below the chin, and somebody who nods and opens the mouth for 2 seconds
    values = np.zeros((4 * FPS, len(PARAMETERS)), np.float32)
    values[FPS : 3 * FPS : 5, PARAMETERS.index("jaw")] = 0.7
    nod = np.interp(np.arange(len(values)), [FPS / 2, FPS, 3 * FPS, 3.5 * FPS], [0.0, 0.5, 0.5, 0.0])
    values[:, PARAMETERS.index("head_y")] = nod * REACH["head_y"]
    values[: FPS // 4, PARAMETERS.index("head_yaw")] = REACH["head_yaw"]
    for ctx, tight in ((wide, False), (close(0.12), True)):
        rig = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
        heads, faces = ([PARAMETERS.index(name) for name in names] for names in (rig.head_names, rig.face_names))
        height = portrait_of(ctx).shape[0]
        # When the track is drawn
        moved = chin_above_border(values, (heads, faces), rig, rig.zoom, height, FPS)
        # Then the chin stays in the picture, with room below it, and the head moves slowly; with more room, it moves as it did
        assert (lowest(rig, values).max() > height) == tight
        assert lowest(rig, moved).max() <= 0.982 * height  # a chin on the border would seem to rest on it
        rise = (values - moved)[:, PARAMETERS.index("head_y")]
        assert rise.any() == tight
        assert np.abs(np.diff(rise)).max() <= 0.15 * REACH["head_y"]
        # And the video begins and ends at rest, the mouth speaks as before, and no motion is larger than it was
        assert not (values - moved)[[0, -1]].any()
        assert not (values - moved)[:, faces].any()
        assert np.abs(moved[:, PARAMETERS.index("head_y")]).max() <= REACH["head_y"] + 1e-6


@pytest.mark.parametrize("opens", ["jaw", "round"])
def test_a_mouth_opens_less_where_the_head_cannot_rise_enough(close: Callable[[float], Context], opens: str) -> None:
    # Given a close crop, and somebody who opens the mouth soon after the start, shuts the lips and holds the head still
    values = np.zeros((2 * FPS, len(PARAMETERS)), np.float32)
    jaw, lip, shut = (PARAMETERS.index(name) for name in (opens, "lower_lip", "seal"))
    values[8:14, jaw] = 0.8
    values[13, shut] = 0.8
    crop = close(0.1)
    rig = load_measured_rig(crop.settings.paths.cache, portrait_of(crop), face_of(crop))
    heads, faces = ([PARAMETERS.index(name) for name in names] for names in (rig.head_names, rig.face_names))
    height = portrait_of(crop).shape[0]
    # When the track is drawn
    moved = chin_above_border(values, (heads, faces), rig, rig.zoom, height, FPS)
    # Then the chin stays in the picture, the mouth still opens, by the lower lip instead of the jaw, and shut lips are shut
    assert lowest(rig, values).max() > height + 3
    assert lowest(rig, moved).max() <= height + 0.5
    assert moved[8:14, jaw].min() > 0.4 * 0.8
    assert (moved[8:14, lip].max() > 0) == (opens == "jaw")
    assert moved[13, shut] == pytest.approx(moved[13, jaw])
    assert not moved[[0, -1]].any()


def test_a_jaw_takes_the_chin_down_less_where_there_is_little_room_below_it(
    wide: Context, close: Callable[[float], Context]
) -> None:
    # Given the same face with much and with little room below the chin
    ways = []
    for ctx in (wide, close(0.05)):
        # When its rig is built
        rig = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
        # Then the jaw takes the lower lip down as far, and the chin less
        opened = np.zeros((2, len(PARAMETERS)), np.float32)
        opened[1, PARAMETERS.index("jaw")] = 1.0
        chin = float(np.diff(lowest(rig, opened))[0])
        ways.append(
            (chin / rig.frame.unit, float(rig.lower[rig.face_names.index("jaw")][..., 1].max()) / rig.frame.unit)
        )
    (far, lip), (near, same) = ways
    assert near < 0.85 * far
    assert far > 0.93 * lip  # with room, the chin goes as far as the lower lip, since the jaw is one bone
    assert same == pytest.approx(lip, rel=0.03)
