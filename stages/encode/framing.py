"""The frames of a job's video: those that the composer draws, inside a still border where the picture does not fill the video."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.drawing_helper import DrawnFrames
from stages.encode.layers import Background
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
        for index in range(self.frame_count):
            self.draw(index, whole)
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


def frames_of_job(ctx: Context) -> DrawnFrames:
    """Make the source of a job's frames; see `Composer.for_job`."""
    composer, place = Composer.for_job(ctx), Placement.of_job(ctx)
    if place.fills:
        return composer
    return BorderedFrames(composer, place, make_surround(ctx, composer.portrait, place))
