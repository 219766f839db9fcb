"""A worker keeps the figure of its last video: each frame is the one that a new worker draws, and memory never holds two."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.face
from stages import kept_in_memory
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.figure import kept
from stages.encode.figure.prepared import PreparedFigure
from stages.encode.framing import JobFrames, shared_frames_of_job
from stages.encode.planes import PlanarFrame
from stages.encode.video import make_video
from stages.face.measure import check_picture
from stages.face.rig.rig import load_rig
from stages.requests import StageCancelled
from tests.support.stages.painted_mouths import paint_mouths
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of, say, show, smiling

pytestmark = pytest.mark.usefixtures("models")

FRAMES = 4
#: Motion of the head, of lids and irises, of the lips and of the folds beside them; the first frame is at rest.
MOVING = [
    {
        "head_yaw": 1.0 * k, "head_pitch": -0.5 * k, "breath": 0.3 * k, "gaze_x": 0.1 * k,
        "blink_left": 0.3 * k, "blink_right": 0.2 * k,
        "jaw": 0.1 * k, "smile": 0.3 * k, "wide": 0.2 * k, "pucker": 0.1 * k,
    }
    for k in range(FRAMES)
]  # fmt: skip


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[PreparedFigure]]]:
    """The figures that were prepared, in a worker that keeps none yet and has memory to spare."""
    made: list[weakref.ref[PreparedFigure]] = []
    load = PreparedFigure.load

    def noted(*args: Any) -> PreparedFigure:
        assert not [figure for figure in made if figure() is not None]  # memory never holds two
        made.append(weakref.ref(figure := load(*args)))
        return figure

    monkeypatch.setattr(PreparedFigure, "load", noted)
    monkeypatch.setattr(kept_in_memory, "is_short", lambda: False)
    kept_in_memory.free_kept()
    yield made
    kept_in_memory.free_kept()


def moving(folder: Path, picture: Callable[[], Any] = drawn, *, mouths: bool = False, **manifest: Any) -> Context:
    """A job whose face is measured and moves, with painted mouths or without."""
    ctx = job(folder, picture().resize((320, 320)), {"min_face_px": 40}, **manifest)
    stages.face.run(ctx)
    show(ctx, *MOVING)
    if mouths:
        paint_mouths(ctx, FRAMES)
    kept_in_memory.free_kept()
    return ctx


def drawn_by(frames: JobFrames) -> list[bytes]:
    return [frame.data.tobytes() for frame in frames.source.frames()]


def ended_well(ctx: Context) -> None:
    frames = shared_frames_of_job(ctx)
    assert len(drawn_by(frames)) == FRAMES
    frames.keep()


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        ({}, {}, True),
        ({"mouths": True}, {}, True),
        ({}, {"mouths": True}, True),
        ({"captions": "burn"}, {}, True),
        ({"background": "green"}, {"background": "transparent"}, True),
        ({"background": "green"}, {"background": "blur"}, True),
        ({"background": "green"}, {}, False),
        ({}, {"background": "transparent"}, False),
        ({}, {"aspect": "16:9", "fit": "pad"}, False),
        ({"size": "256x256"}, {}, False),
        ({"quality": "draft"}, {}, False),
        ({"picture": smiling}, {}, False),
    ],
)
def test_frames_after_another_job_are_those_of_a_new_worker(
    before: dict[str, Any],
    after: dict[str, Any],
    taken: bool,
    tmp_path: Path,
    loaded: list[weakref.ref[PreparedFigure]],
) -> None:
    # Given a job, the frames of a worker that has drawn nothing before, and another job
    ctx, earlier = moving(tmp_path / "job", **after), moving(tmp_path / "earlier", **before)
    alone = drawn_by(shared_frames_of_job(ctx))
    assert len(set(alone)) == FRAMES
    # When a worker draws it after the other job
    loaded.clear()
    ended_well(earlier)
    frames = shared_frames_of_job(ctx)
    # Then its figure is the kept one, where the portrait is the same, and its frames are the same anyhow
    assert len(loaded) == (1 if taken else 2)
    assert drawn_by(frames) == alone


def test_the_zoom_of_one_job_is_not_seen_in_the_next(tmp_path: Path, loaded: list[weakref.ref[PreparedFigure]]) -> None:
    # Given a job in which the picture is enlarged, since the head moves far, and one in which it is not
    far, still = moving(tmp_path / "far"), moving(tmp_path / "still")
    show(far, *({"head_yaw": 5.0 * k, "head_x": 0.05 * k} for k in range(FRAMES)))
    show(still, *({"blink_left": 0.3 * k} for k in range(FRAMES)))
    want = [drawn_by(shared_frames_of_job(ctx)) for ctx in (far, still, far)]
    loaded.clear()
    # When they are drawn by turns, then each is as by itself
    got = []
    for ctx in (far, still, far):
        frames = shared_frames_of_job(ctx)
        got.append(drawn_by(frames))
        frames.keep()
    assert got == want
    assert len(loaded) == 1


def test_a_job_that_did_not_end_well_keeps_nothing(
    tmp_path: Path, loaded: list[weakref.ref[PreparedFigure]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job that is cancelled while it is drawn, and one whose drawing fails amid a frame
    ctx, next_one = moving(tmp_path / "job"), moving(tmp_path / "next")
    for one in (ctx, next_one):
        say(one, [("AA", 0.0, FRAMES / 25)], FRAMES / 25)

    def cancelled(_: float) -> None:
        raise StageCancelled

    alone = drawn_by(shared_frames_of_job(ctx))
    loaded.clear()
    with pytest.raises(StageCancelled):
        make_video(replace(ctx, progress=cancelled))
    with monkeypatch.context() as patch:
        patch.setattr(Composer, "_paint_mouth", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_video(ctx)
    # When a job is done after them, then it prepares its own figure, and the one after takes that
    make_video(ctx)
    assert len(loaded) == 3
    make_video(next_one)
    assert len(loaded) == 3
    assert drawn_by(shared_frames_of_job(ctx)) == alone


def test_a_frame_that_fails_leaves_the_figure_at_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a frame whose sampling fails, as where memory does not suffice
    ctx = moving(tmp_path / "job", mouths=True)
    composer = Composer.for_job(ctx)
    alone = [frame.data.tobytes() for frame in composer.frames()]
    with monkeypatch.context() as patch:
        patch.setattr(composer._sampler, "draw", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            composer.draw(FRAMES - 1, PlanarFrame.empty(composer.width, composer.height))
    # When the video is drawn again from its first frame, as it is with another encoder, then nothing of it is seen
    assert [frame.data.tobytes() for frame in composer.frames()] == alone


@pytest.mark.parametrize("why", ["a new picture", "a new rig", "memory is short", "too large"])
def test_nothing_is_kept_where_the_memory_is_needed(
    why: str, tmp_path: Path, loaded: list[weakref.ref[PreparedFigure]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that keeps figures
    ctx = moving(tmp_path / "job")
    other = job(tmp_path / "other", smiling(), {"min_face_px": 41})  # in no test before
    loaded.clear()
    ended_well(ctx)
    assert loaded[-1]() is not None
    # When another picture is measured, the rig of a known one is built, memory is short after a job, or a portrait is very large
    if why == "a new picture":
        check_picture(other)
    elif why == "a new rig":
        load_rig(tmp_path / "cache", portrait_of(ctx), np.array(face_of(ctx)["landmarks"], np.float32))
    elif why == "memory is short":
        monkeypatch.setattr(kept_in_memory, "is_short", lambda: True)
        ended_well(ctx)
    else:
        monkeypatch.setattr(kept, "_MOST_PIXELS", 320 * 320 - 1)
        ended_well(ctx)
    # Then its memory is free
    assert loaded[-1]() is None
