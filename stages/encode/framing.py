"""The frames of a job's video: those that the composer draws, inside a still border where the picture does not fill the video."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.parallel import DividedFrames
from stages.encode.planes import PlanarFrame
from stages.face.backdrop import make_surround
from stages.face.placement import Placement

Picture = npt.NDArray[np.uint8]


class BorderedFrames:
    """The frames of another source inside a still border."""

    def __init__(self, source: DividedFrames, place: Placement, surround: Picture) -> None:
        """`surround`: BGR of the video's size."""
        self.width, self.height = place.width, place.height
        self.frame_count, self.transparent = source.frame_count, False
        self._source, self._place = source, place
        self._still = PlanarFrame.from_bgr(surround)

    def frames(self, first: int = 0, step: int = 1) -> Iterator[PlanarFrame]:
        """See `DividedFrames`."""
        whole, place = self._still.copy(), self._place
        for frame in self._source.frames(first, step):
            for target, plane in zip(whole.planes(), frame.planes(), strict=True):
                by = self.height // target.shape[0]
                rows, columns = (place.top // by, place.bottom // by), (place.left // by, place.right // by)
                target[slice(*rows), slice(*columns)] = plane
            yield whole


def frames_of_job(ctx: Context) -> DividedFrames:
    """Make the source of a job's frames; see `Composer.for_job`."""
    composer, place = Composer.for_job(ctx), Placement.of_job(ctx)
    if place.fills:
        return composer
    return BorderedFrames(composer, place, make_surround(ctx, composer.plate, place))
