"""The composer, judged by its frames: measured again by the landmarker, and compared pixel by pixel."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.face
import stages.lipsync
from daemon.config import Settings
from daemon.errors import UnknownError
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.mouth import InteriorPainter, MouthOpening
from stages.encode.parallel import DrawingHelper, ParallelFrames, processes_for
from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.face.rig.rig import load_rig
from tests.conftest import wait_for
from tests.support.picture_jobs import changed, drawn, face_of, job, portrait_of, portrait_shown, say, show

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]

#: Shapes of single sounds, as the lipsync stage gives them.
SOUNDS: dict[str, dict[str, float]] = {
    "rest": {},
    "AA": {"jaw": 0.62, "lower_lip": 0.3, "upper_lip": 0.2, "close": 1.0},
    "OO": {"round": 0.2, "pucker": 0.85, "close": 1.0},
    "EE": {"jaw": 0.17, "lower_lip": 0.6, "upper_lip": 0.4, "wide": 0.9, "close": 1.0},
    "PP": {"press": 0.75, "close": 1.0},
    "blink": {"blink_left": 1.0, "blink_right": 1.0},
    "turn": {"head_yaw": 3.0, "head_pitch": -2.0, "head_roll": 1.5, "head_x": 0.01, "breath": 1.0},
}


def measured(frame: Picture) -> npt.NDArray[np.float32]:
    points = shared_landmarker().read_mesh(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8))
    assert points is not None
    return points


@pytest.fixture(scope="module")
def frames(ready: Context) -> dict[str, Picture]:
    return dict(zip(SOUNDS, show(ready, *SOUNDS.values()), strict=True))


def test_at_rest_the_frame_is_the_portrait(ready: Context, frames: dict[str, Picture]) -> None:
    # Given, when, then
    assert not changed(frames["rest"], portrait_shown(ready)).any()


def test_lips_are_closed_at_p_and_open_at_a(frames: dict[str, Picture]) -> None:
    # Given rendered frames, measured again by the landmarker
    gap = {name: mesh.lip_gap(measured(frames[name])) for name in ("AA", "OO", "EE", "PP")}
    # Then P is shut, whatever the picture's own mouth does, and A is wide open
    assert gap["PP"] <= 0.03
    assert gap["AA"] > 0.2
    assert gap["AA"] > 1.5 * gap["EE"] > 0.08


def test_o_is_narrow_and_e_is_wide(frames: dict[str, Picture]) -> None:
    # Given the mouths' widths, measured again
    width = {name: mesh.mouth_width(measured(frames[name])) for name in ("OO", "PP", "EE")}
    # Then
    assert width["OO"] < 0.85 * width["PP"]
    assert width["EE"] > 1.05 * width["PP"]


def test_rounded_lips_show_the_upper_teeth_only_when_the_jaw_is_down(ready: Context) -> None:
    # Given an opening of one size, and rounded lips
    landmarks = np.array(face_of(ready)["landmarks"], np.float32)
    rig = load_rig(ready.settings.paths.cache, np.ascontiguousarray(portrait_of(ready)), landmarks)
    unit = rig.frame.unit
    height, width = portrait_of(ready).shape[:2]
    lower = rig.curve_upper + np.array([0, 0.2 * unit], np.float32)
    whole = MouthOpening.between(rig.curve_upper, lower, unit, (width, height))
    opening = whole.visible()
    assert opening is not None
    painter = InteriorPainter(rig.oral, rig.tones, rig.frame)

    def brightest(drop: float) -> float:
        inside = painter.paint(opening, np.eye(2, 3, dtype=np.float32), (drop * unit, 0.0), 0.0, 1.0)
        third = inside.shape[1] // 3
        return float((inside.mean(axis=-1) * (opening.cover() > 0))[: len(inside) // 3, third:-third].max())

    # When the jaw is down as in "oh" and as in "oo" / Then only the first shows something bright below the upper lip
    assert brightest(0.3) > 2.5 * brightest(0.1)


def test_a_blink_shuts_both_eyes_in_the_skins_own_colour(ready: Context, frames: dict[str, Picture]) -> None:
    # Given the eyes' boxes before and after
    points = np.array(face_of(ready)["landmarks"], np.float32)
    open_, shut = mesh.lid_openness(measured(frames["rest"])), mesh.lid_openness(measured(frames["blink"]))
    # Then the landmarker sees them shut
    assert max(shut) < 0.6 * min(open_)
    for upper, lower, _ in mesh.EYES:
        # And where the iris was there is skin: about as bright as the cheek below, and even
        middle = points[[upper[4], lower[4]], :2].mean(axis=0)
        height = float(abs(points[upper[4], 1] - points[lower[4], 1]))
        lid = patch(frames["blink"], middle - np.array([0, 0.15 * height]), 0.2 * height)
        cheek = patch(frames["blink"], middle + np.array([0, 2.2 * height]), 0.4 * height)
        assert 0.55 < lid.mean() / cheek.mean() < 1.25


def patch(frame: Picture, middle: npt.NDArray[Any], radius: float) -> Picture:
    x, y = (round(float(value)) for value in middle)
    reach = max(1, round(radius))
    return frame[y - reach : y + reach + 1, x - reach : x + reach + 1]


@pytest.mark.parametrize("beside", [{}, {"jaw": 0.3}])
def test_after_a_blink_the_eyes_are_the_portraits_own_again(ready: Context, beside: dict[str, float]) -> None:
    # Given a blink, alone or beside speech, and then rest
    _, after = show(ready, SOUNDS["blink"] | beside, {})
    # Then nothing of it is left
    assert not changed(after, portrait_shown(ready)).any()


def test_the_background_stands_still_when_the_head_turns(ready: Context, frames: dict[str, Picture]) -> None:
    # Given a frame with the head turned
    moved = changed(frames["turn"], portrait_shown(ready))
    landmarks = np.array(face_of(ready)["landmarks"], np.float32)
    rig = load_rig(ready.settings.paths.cache, np.ascontiguousarray(portrait_of(ready)), landmarks)
    # Then the middle has moved, and farther from the person than anything moves, every pixel is the same
    assert moved.mean() > 0.1
    reach = np.ones((2 * 40 + 1, 2 * 40 + 1), np.uint8)
    assert not moved[cv2.dilate(rig.matte.alpha, reach) == 0].any()


def test_with_the_head_locked_only_the_face_changes(ready: Context, frames: dict[str, Picture]) -> None:
    # Given an open mouth and shut eyes
    portrait = portrait_shown(ready)
    rows, columns = np.nonzero(changed(frames["AA"], portrait) | changed(frames["blink"], portrait))
    x, y, width, height = face_of(ready)["box"]
    # Then all that changed lies within the face and the neck below its chin
    assert columns.min() > x - 0.35 * width
    assert columns.max() < x + 1.35 * width
    assert rows.min() > y
    assert rows.max() < y + 1.5 * height


def test_nothing_tears(frames: dict[str, Picture]) -> None:
    # Given every frame's steepest change between neighbouring pixels
    def steepest(frame: Picture) -> float:
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
        return float(np.percentile(np.abs(np.diff(grey, axis=0)), 99.95))

    # Then no frame has edges much harder than the portrait's own
    for name in ("PP", "turn", "blink"):
        assert steepest(frames[name]) < 1.25 * steepest(frames["rest"]) + 4, name


@pytest.fixture(scope="module")
def talking(ready: Context) -> tuple[Context, list[Picture]]:
    say(ready, [("ɑ", 0.3, 0.6), ("m", 0.6, 0.65), ("i", 0.65, 0.9), ("p", 0.9, 0.95), ("u", 0.95, 1.2)], 1.7)
    stages.lipsync.run(ready)
    return ready, [frame.to_bgr() for frame in Composer.for_job(ready).frames()]


def test_a_clip_begins_and_ends_as_the_portrait(talking: tuple[Context, list[Picture]]) -> None:
    ctx, clip = talking
    # Given, when, then
    assert len(clip) == Composer.for_job(ctx).frame_count == 43
    assert not changed(clip[0], portrait_shown(ctx)).any()
    assert not changed(clip[-1], portrait_shown(ctx)).any()


def test_spoken_frames_close_at_m_and_open_at_a(talking: tuple[Context, list[Picture]]) -> None:
    _, clip = talking
    # Given the frames of a vowel and of the touch that follows
    vowel = max(mesh.lip_gap(measured(clip[k])) for k in range(9, 14))
    touch = min(mesh.lip_gap(measured(clip[k])) for k in (15, 16))
    # Then
    assert vowel > 0.12
    assert touch <= 0.03


def test_the_same_job_gives_the_same_bytes(talking: tuple[Context, list[Picture]]) -> None:
    ctx, clip = talking
    # Given the same job rendered again
    again = [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]
    # Then
    assert all((one == other).all() for one, other in zip(clip, again, strict=True))


def test_a_small_face_in_a_large_picture_is_moved_in_place(tmp_path: Path) -> None:
    # Given a face that takes a sixth of the picture's width
    picture = Image.new("RGB", (1000, 700), (120, 130, 140))
    picture.paste(drawn().resize((400, 400)), (500, 200))
    ctx = job(tmp_path / "job", picture)
    stages.face.run(ctx)
    # When it speaks
    (frame,) = show(ctx, SOUNDS["AA"])
    # Then what lies away from it is the picture's own
    portrait = portrait_shown(ctx)
    x, _, width, _ = face_of(ctx)["box"]
    assert not changed(frame, portrait)[:, : int(x - 0.5 * width)].any()
    assert changed(frame, portrait).any()


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's own process waits for its helpers after its first frame; otherwise a short video is over before they start."""
    is_ready = DrawingHelper.is_ready
    monkeypatch.setattr(DrawingHelper, "is_ready", lambda helper: wait_for("a helper", lambda: is_ready(helper)))


@pytest.mark.usefixtures("helped")
def test_frames_drawn_by_several_processes_are_the_same(ready: Context) -> None:
    # Given motion in every part of the face
    rows = [{**SOUNDS["turn"], "jaw": 0.05 * k, "blink_left": 0.1 * (k % 5), "lean": 0.01 * k} for k in range(7)]
    alone = show(ready, *rows)
    # When three processes share the frames
    together = [frame.to_bgr() for frame in ParallelFrames(ready, Composer.for_job(ready), 3).frames()]
    # Then each frame is the one that a single process draws, in order
    assert len(together) == 7
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_a_process_with_more_than_1024_open_files_draws_too(ready: Context) -> None:
    # Given a process whose next descriptor is one that select() refuses
    show(ready, *[SOUNDS["AA"]] * 3)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most[1]), most[1]))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        # When a helper is started and asked, then it answers
        assert len(list(ParallelFrames(ready, Composer.for_job(ready), 2).frames())) == 3
    finally:
        for descriptor in many:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def test_a_video_that_is_over_before_its_helpers_start_is_whole(
    ready: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = show(ready, *[SOUNDS["AA"]] * 3)
    monkeypatch.setattr(DrawingHelper, "is_ready", lambda helper: False)
    assert len(list(ParallelFrames(ready, Composer.for_job(ready), 2).frames())) == len(alone)


@pytest.mark.parametrize(
    ("cores", "side", "set_to", "processes"),
    [(1, 1080, 0, 1), (2, 1080, 0, 2), (16, 1080, 0, 2), (2, 128, 0, 1), (1, 1080, 3, 3)],
)
def test_two_cores_have_two_drawing_processes_where_there_is_enough_to_draw(
    monkeypatch: pytest.MonkeyPatch, cores: int, side: int, set_to: int, processes: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    settings = Settings.model_validate({"stages": {"encode": {"processes": set_to}}})
    video = SimpleNamespace(width=side, height=side, frame_count=300)
    assert processes_for(settings, cast(Composer, video)) == processes


@pytest.mark.usefixtures("helped")
def test_a_drawing_process_that_dies_is_told(ready: Context) -> None:
    # Given a job whose motion goes missing under the processes
    show(ready, *[{}] * 4)
    source = Composer.for_job(ready)
    ready.path("motion.npz").unlink()
    # When / Then
    with pytest.raises(UnknownError) as told:
        list(ParallelFrames(ready, source, 2).frames())
    assert told.value.code == "frames-missing"
    assert "motion.npz" in told.value.message


def test_folds_beside_a_widened_mouth_deepen_a_little(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the same spread mouth with and without the shading
    shaded = show(ready, SOUNDS["EE"])[0].astype(int)
    monkeypatch.setattr("stages.encode.creases._DARKEST", 0.0)
    plain = show(ready, SOUNDS["EE"])[0].astype(int)
    # Then it is darker, by less than a sixth, and only between the nose and the sides of the face
    darker = (plain - shaded).max(axis=-1)
    assert darker.max() > 5
    assert (plain - shaded <= plain / 6 + 2).all()
    points = np.array(face_of(ready)["landmarks"])
    rows, columns = np.nonzero(darker > 5)
    assert rows.min() > points[168, 1]
    assert columns.min() > points[234, 0]
    assert columns.max() < points[454, 0]
