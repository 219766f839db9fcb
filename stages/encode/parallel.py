"""Draws the frames of one video in several processes: the stage's own, and copies of it that help it.

The processes write into a ring of frames that they share. The stage's own process hands out the frames in order, a few at a time
to each helper, and draws itself whenever the frame that is to be encoded next is not finished. Frames are independent of each
other: the video is identical for any number of processes. The ring bounds how far they get ahead of the encoder.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator

import numpy as np

from daemon.config import Settings
from daemon.system.memory import release_free_memory
from daemon.system.process import PIPE_BYTES
from stages.encode.drawing_helper import DrawingHelper, DrawnFrames, Ring, wait_for_any
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.planes import PlanarFrame

#: Minimum number of pixels, in all frames, for several processes: about a tenth of a second of drawing. Measured at 512 and 1080
#: px, a helper costs 20 to 40 ms of processor time, so that it is worth while from about half of this on.
_MIN_PIXELS = 10e6
_MOST = 4  # processes chosen automatically; with more, the encoder is the slower part
#: Frames that a helper has been given and has not finished: while it draws one, the next is there already.
_GIVEN = 2
#: Frames of the ring for each process, beside the one that is being encoded.
_AHEAD = 3


def processes_for(settings: Settings, source: FrameSource, first: int = 0) -> int:
    """Choose the number of processes that draw a video from the frame `first` on, the stage's own included."""
    if source.width * source.height * (source.frame_count - first) < _MIN_PIXELS:
        return 1
    if settings.stages.encode.processes:
        return settings.stages.encode.processes
    cores = len(os.sched_getaffinity(0))
    beside = settings.lanes.cpu.processes or max(2, cores // 2)
    # A drawing process and the encoder do not fill two cores, so there are two even if the lane's other workers may be busy.
    return min(cores, max(2, min(_MOST, cores // beside)))


class ParallelFrames:
    """A frame source whose frames, those of `source` from `first` on, are drawn by `processes` processes."""

    def __init__(self, source: DrawnFrames, processes: int, first: int = 0) -> None:
        self.width, self.height, self.frame_count = source.width, source.height, source.frame_count
        self.transparent = source.transparent
        self._source, self._processes, self._first = source, processes, first

    def frames(self) -> Iterator[PlanarFrame]:
        """See `FrameSource`.

        Raises:
            MachineError: `worker-broken`: a process cannot be started.
            UnknownError: `frames-missing`: a process died.
        """
        ring = self._shared_frames(1 + _AHEAD * self._processes)  # beside those that are kept
        release_free_memory()  # each copy of this process would hold it, too
        with contextlib.ExitStack() as stack:
            helpers = [stack.enter_context(DrawingHelper(self._source, ring)) for _ in range(self._processes - 1)]
            yield from self._in_order(helpers, ring)

    def _shared_frames(self, count: int) -> Ring:
        """Make a ring of so many frames, and those that a pipe may still refer to, in memory that later forks share."""
        still = self._source.still
        kept = -(-PIPE_BYTES // still.data.size)
        count += kept
        memory = np.frombuffer(mmap.mmap(-1, count * still.data.size), np.uint8).reshape(count, -1)
        frames = [PlanarFrame(data, self.width, self.height, self.transparent, kept) for data in memory]
        return Ring(frames, self._first)

    def _in_order(self, helpers: list[DrawingHelper], ring: Ring) -> Iterator[PlanarFrame]:
        finished: set[int] = set()
        given = self._first  # so many frames are drawn or being drawn
        for index in range(self._first, self.frame_count):
            # Beyond it, a frame would overwrite one that is still needed.
            end = min(index + len(ring) - ring[0].kept, self.frame_count)
            while True:
                for helper in helpers:
                    finished.update(helper.finished())
                    while given < end and helper.given < _GIVEN:
                        helper.give(given)
                        given += 1
                if index in finished:
                    break
                if given < end:
                    given += 1
                    ring.draw(self._source, given - 1)
                    finished.add(given - 1)
                else:
                    wait_for_any(helpers)
            finished.remove(index)
            yield ring[index]
