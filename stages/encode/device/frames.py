"""Draws the frames of a video on a device: the host prepares the next frames while one is drawn and copied back.

For each frame the host sends the field, on the coarse grid, the boxes that were painted, and the painted mouth as it is stored;
one queue of the device draws the whole frame from these, and the other one copies it to memory that the GPU writes by itself.
If the GPU fails, or its memory ends, the processor draws the rest: frames are independent of each other.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import MachineError
from stages.encode.compose import Composer
from stages.encode.device.planes import DevicePlanes, SentChanges
from stages.encode.device.sampler import TorchSampler
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.figure_planes import FigureChanges
from stages.encode.layers import Box
from stages.encode.planes import PlanarFrame
from stages.gpu.errors import device_errors
from stages.gpu.queues import QueueMark, WorkQueue, make_queues

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: Frames that are being drawn or copied while the encoder takes one: with two, the device draws one while the other is copied.
IN_FLIGHT = 2
#: Why the processor draws for a while, by the code of the error.
_FALL_BACK = {
    "gpu-memory": "the GPU's memory did not suffice",
    "gpu-lost": "the GPU stopped working",
    "gpu-unusable": "PyTorch cannot use the GPU",
}
#: Memory of GPUs that were lost. To release it calls the driver, whose error would end the process.
_left: list[object] = []


@dataclass(frozen=True)
class _Started:
    """A frame that is being drawn: its memory on the host, when it is there, and what is shown over it."""

    frame: Tensor
    copied: QueueMark
    over: list[tuple[Picture, Box]]


class DeviceFrames:
    """The frames of a composer, drawn on a device.

    Attributes:
        sampled: where frames are drawn, for the status.
    """

    def __init__(
        self,
        composer: Composer,
        device: str,
        sampled: str,
        on_processor: Callable[[int], FrameSource],
        warn: Callable[[str], None],
        queues: tuple[WorkQueue, WorkQueue] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to draw the frames of a composer whose figure moves.

        Args:
            composer: draws the frames.
            device: torch's name of the device.
            sampled: what the status says while the device draws.
            on_processor: makes a source of the frames from this number on, for when the device fails.
            warn: receives what has happened then.
            queues: for computing and for copying; by default those of the device.
            lost: is told when this process can use the device no more.
        """
        self.width, self.height, self.frame_count = composer.width, composer.height, composer.frame_count
        self.transparent, self.still = composer.transparent, composer.still
        self._composer, self._device, self._queues = composer, torch.device(device), queues
        self._on_processor, self._warn, self._lost = on_processor, warn, lost
        self._failure: str | None = None
        self._drawing: _Drawing | None = None
        self.sampled = sampled

    def draw(self, index: int, frame: PlanarFrame) -> None:
        """Draw one frame on the processor; see `DrawnFrames`."""
        self._composer.draw(index, frame)

    def frames(self) -> Iterator[PlanarFrame]:
        """See `FrameSource`. The memory on the device is given back after the last one."""
        count = 0
        try:
            for frame in self._on_device():
                count += 1
                yield frame
        finally:
            self._release()
        if count < self.frame_count:
            yield from self._on_processor(count).frames()

    def _on_device(self) -> Iterator[PlanarFrame]:
        """Yield the frames in order, until the last one or a failure."""
        started: deque[_Started] = deque()
        first = 0
        while self._failure is None and (first < self.frame_count or started):
            try:
                with device_errors("There is not enough GPU memory to draw frames.", "The processor draws them."):
                    if self._drawing is None:
                        self._drawing = _Drawing(self._composer, self._device, self._queues)
                    while first < self.frame_count and len(started) < IN_FLIGHT:
                        started.append(self._drawing.start(first))
                        first += 1
                    frame = self._drawing.finish(started.popleft())
            except MachineError as failure:
                self._fall_back(failure, started)
            else:
                yield frame

    def _fall_back(self, failure: MachineError, started: deque[_Started]) -> None:
        """Let the processor draw from now on.

        Raises:
            MachineError: it would not help.
        """
        if failure.code not in _FALL_BACK:
            raise failure
        self._failure = failure.code
        self.sampled = f"cpu: {_FALL_BACK[failure.code]} in this job"
        self._warn(f"The processor drew the rest of the frames, since {_FALL_BACK[failure.code]}: {failure.message}")
        if failure.code != "gpu-memory":
            self._lost()
            _left.append((self._drawing, list(started), failure))  # the error's traceback holds memory, too

    def _release(self) -> None:
        usable = self._device.type == "cuda" and self._failure in (None, "gpu-memory")
        with contextlib.suppress(RuntimeError):  # a GPU that fails now has drawn all that was asked for
            if usable:  # the queues may still read memory that is about to be released
                torch.cuda.synchronize(self._device)
            self._drawing = None
            if usable:
                torch.cuda.empty_cache()


class _Drawing:
    """What is on the device while it draws."""

    def __init__(self, composer: Composer, device: torch.device, queues: tuple[WorkQueue, WorkQueue] | None) -> None:
        self._composer, self._device = composer, device
        self._pinned = device.type == "cuda"
        self._planes = DevicePlanes(composer, device)
        self._sampler = TorchSampler(composer, self._planes, device)
        still = torch.from_numpy(composer.still.data)
        #: A frame is drawn into the memory of one that was finished: no more than these are in flight.
        self._slots = [still.to(device, copy=True) for _ in range(IN_FLIGHT)]
        self._compute, self._copy = queues or make_queues(device)
        self._turn = 0

    def start(self, index: int) -> _Started:
        """Let the device draw a frame."""
        over: list[tuple[Picture, Box]] = []
        slot = self._slots[self._turn % IN_FLIGHT]
        self._turn += 1
        # Memory for each frame: PyTorch takes pinned memory again only after the copy into it is done.
        frame = torch.empty(slot.shape, dtype=torch.uint8, pin_memory=self._pinned)

        def sample_figure(changes: FigureChanges, backward: FloatArray) -> None:
            sent, field = self._send_changes(changes), self._on_its_way(backward)

            @torch.inference_mode()
            def fill() -> None:
                self._planes.change(sent)
                self._sampler.draw(field.to(self._device, non_blocking=True), slot)
                self._planes.restore()

            self._compute.do(fill)

        self._composer.render(index, sample_figure, lambda figure, box: over.append((figure.copy(), box)))
        self._copy.wait(self._compute.mark())
        self._copy.do(partial(_copy_into, frame, slot))
        return _Started(frame, self._copy.mark(), over)

    def finish(self, started: _Started) -> PlanarFrame:
        """Wait for a frame."""
        started.copied.synchronize()
        composer = self._composer
        frame = PlanarFrame(started.frame.numpy(), composer.width, composer.height, composer.transparent)
        for figure, box in started.over:
            composer.background.show(figure, box, frame)
        return frame

    def _send_changes(self, changes: FigureChanges) -> SentChanges:
        mouths, painted, patch, strength = self._composer.painted_mouths, list(changes.boxes), None, 0.0
        if changes.folds > 0:
            painted.extend(self._composer.folds_at)
        if mouths is not None and changes.mouth is not None:
            strength = float(mouths.strength[changes.mouth])
            patch = self._on_its_way(mouths.stored(changes.mouth)) if strength > 0 else None
        sent = [(box, self._on_its_way(changes.painted[box])) for box in painted]
        return SentChanges(sent, changes.boxes, changes.folds, patch, strength)

    def _on_its_way(self, values: npt.NDArray[np.uint8] | FloatArray) -> Tensor:
        """Copy values to memory that the device reads by itself."""
        kind = torch.uint8 if values.dtype == np.uint8 else torch.float32
        copied = torch.empty(values.shape, dtype=kind, pin_memory=self._pinned)
        copied.numpy()[:] = values
        return copied


@torch.inference_mode()
def _copy_into(frame: Tensor, made: Tensor) -> None:
    frame.copy_(made, non_blocking=True)
