"""The belt that carries batches through the device: one is computed while the one before is copied and used.

The device has two queues. One computes and puts each result into a slot; the other copies slots to memory that the device
can reach by itself (pinned). A slot is filled again only when it was copied. On a processor both queues are nothing but
calls, so that the same lines run there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.musetalk.forward import Step

#: Results between the two queues: one is filled while the other is copied.
_SLOTS = 2


class Mark(Protocol):
    """A moment in a queue."""

    def synchronize(self) -> None:
        """Wait until the queue has come to it."""


class Queue(Protocol):
    """Work in order, started at once and done some time later."""

    def do(self, work: Callable[[], None]) -> None:
        """Append work."""

    def mark(self) -> Mark:
        """The moment after all that was appended so far."""

    def wait(self, mark: Mark) -> None:
        """Do nothing further before another queue's moment."""


class Now:
    """A processor's queue: work is done when it is appended. It is its own mark."""

    def do(self, work: Callable[[], None]) -> None:
        work()

    def mark(self) -> Mark:
        return self

    def wait(self, mark: Mark) -> None:
        mark.synchronize()

    def synchronize(self) -> None:
        return None


class CudaQueue:
    """A CUDA stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def do(self, work: Callable[[], None]) -> None:
        with torch.cuda.stream(self._stream):
            work()

    def mark(self) -> torch.cuda.Event:
        event: torch.cuda.Event = self._stream.record_event()
        return event

    def wait(self, mark: Mark) -> None:
        assert isinstance(mark, torch.cuda.Event)
        self._stream.wait_event(mark)


def queues(device: torch.device) -> tuple[Queue, Queue]:
    """For computing and for copying. Computing is the current stream's, which made the tokens."""
    if device.type != "cuda":
        return Now(), Now()
    return CudaQueue(torch.cuda.current_stream(device)), CudaQueue(torch.cuda.Stream(device))


class Pending:
    """A result on its way from the device.

    Attributes:
        dtype: the precision it is computed in.
    """

    def __init__(self, patches: Tensor, good: Tensor, dtype: torch.dtype, copied: Mark) -> None:
        self.dtype = dtype
        self._patches, self._good, self._copied = patches, good, copied

    def get(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Wait for it: patches BGR [n, 256, 256, 3], and which of them are fit to be shown."""
        self._copied.synchronize()
        return self._patches.numpy(), self._good.numpy()


class _Slot:
    """Room on the device for one result.

    Attributes:
        copied: when what it holds was copied; None while it holds nothing.
    """

    def __init__(self, step: Step) -> None:
        self.patches = torch.empty(step.batch, step.side, step.side, 3, dtype=torch.uint8, device=step.device)
        self.good = torch.empty(step.batch, dtype=torch.bool, device=step.device)
        self.copied: Mark | None = None


class Belt:
    """Carries batches through a step. The caller bounds how many are on their way by getting the results."""

    def __init__(self, step: Step, compute_and_copy: tuple[Queue, Queue] | None = None) -> None:
        self.step = step
        self._compute, self._copy = compute_and_copy or queues(step.device)
        self._slots = [_Slot(step) for _ in range(_SLOTS)]
        self._turn = 0

    @torch.inference_mode()
    def put(self, tokens: Tensor) -> Pending:
        """Start on the tokens of up to `step.batch` frames, [n, 50, 384], which must be on the device."""
        slot, count = self._slots[self._turn % _SLOTS], len(tokens)
        self._turn += 1
        pinned = self.step.device.type == "cuda"
        # Memory of its own for each result: PyTorch gives pinned memory out again only when the copy into it is done.
        patches = torch.empty(count, *slot.patches.shape[1:], dtype=torch.uint8, pin_memory=pinned)
        good = torch.empty(count, dtype=torch.bool, pin_memory=pinned)

        def fill() -> None:
            made_patches, made_good = self.step.run(tokens)
            slot.patches.copy_(made_patches)
            slot.good.copy_(made_good)

        def fetch() -> None:
            patches.copy_(slot.patches[:count], non_blocking=True)
            good.copy_(slot.good[:count], non_blocking=True)

        if slot.copied is not None:
            self._compute.wait(slot.copied)
        self._compute.do(fill)
        self._copy.wait(self._compute.mark())
        self._copy.do(fetch)
        slot.copied = self._copy.mark()
        return Pending(patches, good, self.step.dtype, slot.copied)
