"""Several processes that draw one video: which frames they draw, what ends with them, and what a death among them means."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import stages.face
from daemon.config import Settings
from daemon.errors import UnknownError
from stages.context import Context
from stages.encode import parallel
from stages.encode.compose import Composer
from stages.encode.framing import frames_of_job
from stages.encode.parallel import ParallelFrames, processes_for
from stages.encode.planes import PlanarFrame
from tests.support.stages.picture_jobs import drawn, job, show, smiling

pytestmark = pytest.mark.usefixtures("models")

#: Motion in every part of the face, longer than the ring of frames.
MOVING = [
    {
        "head_yaw": 3.0, "head_pitch": -2.0, "head_roll": 0.1 * k, "head_x": 0.01, "breath": 1.0,
        "jaw": 0.05 * k, "blink_left": 0.1 * (k % 5), "lean": 0.01 * k,
    }
    for k in range(12)
]  # fmt: skip


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A job whose face is measured, and that moves."""
    ctx = job(tmp_path_factory.mktemp("drawn") / "job", drawn())
    stages.face.run(ctx)
    show(ctx, *MOVING)
    return ctx


def copies(frames: Iterator[PlanarFrame]) -> list[bytes]:
    return [frame.data.tobytes() for frame in frames]


@pytest.mark.parametrize("changes", [{}, {"aspect": "16:9", "fit": "pad"}, {"background": "transparent"}])
def test_frames_are_the_same_for_any_number_of_processes(changes: dict[str, Any], tmp_path: Path) -> None:
    # Given a picture that fills the video, one in a border, and one with an alpha plane
    ctx = job(tmp_path / "job", drawn(), **changes)
    stages.face.run(ctx)
    show(ctx, *MOVING)
    alone = copies(frames_of_job(ctx).frames())
    assert len(set(alone)) == len(MOVING)
    for processes in (1, 2, 3):
        # When processes share the frames: the first ones are a helper's
        together = copies(ParallelFrames(frames_of_job(ctx), processes).frames())
        # Then each frame is the one that a single process draws, in order, and no process is left
        assert together == alone, processes
        assert not multiprocessing.active_children()


def test_a_later_video_shows_the_picture_that_has_the_same_name(tmp_path: Path) -> None:
    # Given a video that several processes have drawn, and another picture in the place of its own
    ctx = job(tmp_path / "job", drawn())
    stages.face.run(ctx)
    show(ctx, *MOVING)
    before = copies(ParallelFrames(Composer.for_job(ctx), 2).frames())
    for left in (ctx.path("portrait.png"), ctx.path("face.json")):
        left.unlink()
    other = job(tmp_path / "other", smiling())
    stages.face.run(other)
    for name in ("portrait.png", "face.json"):
        other.path(name).rename(ctx.path(name))
    # When they draw again
    after = copies(ParallelFrames(Composer.for_job(ctx), 2).frames())
    # Then every frame is the new picture's
    assert after == copies(Composer.for_job(ctx).frames())
    assert not set(after) & set(before)


def test_a_process_with_more_than_1024_open_files_draws_too(ready: Context) -> None:
    # Given a process whose next descriptor is one that select() refuses
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most[1]), most[1]))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        # When it draws with a helper, then all frames come
        assert len(copies(ParallelFrames(Composer.for_job(ready), 2).frames())) == len(MOVING)
    finally:
        for descriptor in many:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


class SlowOnce:
    """Frames that hold their own number; a helper finishes its first one from `late` on only when its process has drawn all that
    it may meanwhile.
    """

    width, height, frame_count, transparent = 16, 16, 40, False

    def __init__(self, ahead: int, late: int = 0) -> None:
        self.still = PlanarFrame.empty(self.width, self.height)
        self.drawn: list[int] = []
        self._ahead, self._late, self._own = ahead, late, os.getpid()
        fork = multiprocessing.get_context("fork")
        self._drew, self._highest = fork.Condition(), fork.Value("i", -1)

    def frames(self) -> Iterator[PlanarFrame]:
        raise AssertionError("helpers draw single frames")

    def draw(self, index: int, frame: PlanarFrame) -> None:
        with self._drew:
            if os.getpid() == self._own:
                self.drawn.append(index)
                self._highest.value = index
                self._drew.notify_all()
            elif self._late <= index:
                self._late = self.frame_count
                # The very last one may have been given to the helper, too.
                self._drew.wait_for(lambda: self._highest.value >= min(index + self._ahead, self.frame_count) - 2)
        frame.data.fill(index)


def test_nobody_draws_over_a_frame_that_is_still_needed() -> None:
    # Given a helper that is slow, so that the others get ahead of it as far as they may
    ahead = 1 + 2 * parallel._AHEAD
    source = SlowOnce(ahead)
    # When the frames are read
    before: list[int] = []
    for index, frame in enumerate(ParallelFrames(source, 2).frames()):
        before += [one - index for one in source.drawn]
        source.drawn.clear()
        # Then each is its own, and none was drawn that has no place of its own beside it
        assert (frame.data == index).all()
    assert max(before) < ahead


def test_nobody_draws_over_a_frame_to_which_a_pipe_may_still_refer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pipe that holds a few frames, and a helper that is slow in the middle of the video
    monkeypatch.setattr(parallel, "PIPE_BYTES", 4 * PlanarFrame.size(16, 16, False))
    shown: list[PlanarFrame] = []
    # When the frames are read
    for frame in ParallelFrames(SlowOnce(1 + 2 * parallel._AHEAD, late=10), 2).frames():
        shown.append(frame)
        # Then so many before each still are what they were
        assert frame.kept == 4
        for number in range(max(len(shown) - 5, 0), len(shown)):
            assert (shown[number].data == number).all()


def test_a_helper_that_is_killed_ends_the_attempt_and_the_next_is_whole(ready: Context) -> None:
    # Given a video whose helper is killed after the first frame
    frames = ParallelFrames(Composer.for_job(ready), 2)
    started = frames.frames()
    next(started)
    (helper,) = multiprocessing.active_children()
    assert helper.pid is not None
    os.kill(helper.pid, signal.SIGKILL)
    helper.join()
    # When the rest is read, then the error says so
    with pytest.raises(UnknownError, match="SIGKILL") as told:
        list(started)
    assert told.value.code == "frames-missing"
    # And nothing of it is left for the next attempt
    assert copies(frames.frames()) == copies(Composer.for_job(ready).frames())


def test_an_error_in_a_helper_is_told(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a helper's frame that cannot be drawn
    draw = Composer.draw

    def failing(self: Composer, index: int, frame: PlanarFrame) -> None:
        if index == 1:
            raise ValueError("the mouth is not there")
        draw(self, index, frame)

    monkeypatch.setattr(Composer, "draw", failing)
    # When / Then
    with pytest.raises(UnknownError, match="the mouth is not there") as told:
        list(ParallelFrames(Composer.for_job(ready), 2).frames())
    assert told.value.code == "frames-missing"


def test_a_helper_keeps_no_pipe_of_its_process_open(ready: Context) -> None:
    # Given a pipe such as ffmpeg's, and a helper that has drawn a frame
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    frames = ParallelFrames(Composer.for_job(ready), 2).frames()
    next(frames)
    # When its process closes the pipe, then the other side sees the end while the helper lives
    os.close(writer)
    assert multiprocessing.active_children()
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert len(list(frames)) == len(MOVING) - 1


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
