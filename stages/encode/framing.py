"""The frames of a job's video: those that the composer draws, inside a still border where the picture does not fill the video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.device.choose import choose_sampler
from stages.encode.drawing_helper import DrawnFrames
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.figure.kept import JobFigure
from stages.encode.layers import Background
from stages.encode.parallel import ParallelFrames, processes_for
from stages.encode.planes import PlanarFrame
from stages.face.backdrop import make_surround
from stages.face.placement import Placement

Picture = npt.NDArray[np.uint8]


class BorderedFrames:
    """The frames of another source inside a still border."""

    def __init__(self, source: DrawnFrames, place: Placement, surround: Picture) -> None:
        """`surround`: BGR of the video's size; not shown if the source is transparent."""
        self.width, self.height = place.width, place.height
        self.frame_count, self.transparent = source.frame_count, source.transparent
        self._source, self._place = source, place
        self.still = Background(surround, source.transparent).frame
        self._inner = source.still.copy()
        self._insert(self._inner, self.still)

    def frames(self) -> Iterator[PlanarFrame]:
        """See `FrameSource`."""
        whole = self.still.copy()
        for inner in self._source.frames():
            self._insert(inner, whole)
            yield whole

    def draw(self, index: int, frame: PlanarFrame) -> None:
        """See `DrawnFrames`."""
        self._source.draw(index, self._inner)
        self._insert(self._inner, frame)

    def _insert(self, inner: PlanarFrame, whole: PlanarFrame) -> None:
        place = self._place
        for target, plane in zip(whole.planes(), inner.planes(), strict=True):
            by = self.height // target.shape[0]
            rows, columns = (place.top // by, place.bottom // by), (place.left // by, place.right // by)
            target[slice(*rows), slice(*columns)] = plane


@dataclass(frozen=True)
class JobFrames:
    """The frames of a job.

    Attributes:
        source: draws them.
        sampled: returns where they were drawn and why; empty where the settings leave no choice.
        keep: keeps what the next job about the same portrait needs; to be called when all of them were drawn.
    """

    source: FrameSource
    sampled: Callable[[], str]
    keep: Callable[[], None]


def frames_of_job(ctx: Context) -> DrawnFrames:
    """Make the source of a job's frames, drawn by this process; see `Composer.for_job`."""
    composer = Composer.for_job(ctx)
    return _in_border(ctx, composer, composer)


def shared_frames_of_job(ctx: Context) -> JobFrames:
    """Make the source of a job's frames, drawn by a GPU or by several processes where the settings say so."""
    figure = JobFigure.take(ctx)
    composer = Composer.for_job(ctx, figure.figure)
    choice = choose_sampler(ctx.settings, composer)
    if choice.device is None:
        return JobFrames(_shared(ctx, _in_border(ctx, composer, composer)), lambda: choice.why, figure.keep)
    from stages.encode.device.frames import DeviceFrames

    drawn = DeviceFrames(
        composer,
        choice.device,
        choice.why,
        lambda first: _shared(ctx, composer, first),
        ctx.warnings.append,
        lost=ctx.end_worker,
    )
    return JobFrames(_in_border(ctx, composer, drawn), lambda: drawn.sampled, figure.keep)


def _shared(ctx: Context, frames: DrawnFrames, first: int = 0) -> FrameSource:
    processes = processes_for(ctx.settings, frames, first)
    return frames if processes == 1 and first == 0 else ParallelFrames(frames, processes, first)


def _in_border(ctx: Context, composer: Composer, frames: DrawnFrames) -> DrawnFrames:
    place = Placement.of_job(ctx)
    return frames if place.fills else BorderedFrames(frames, place, make_surround(ctx, composer.portrait, place))
