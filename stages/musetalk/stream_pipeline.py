"""A pipeline for batches on the device: one batch is computed while the previous one is copied and used.

The device has two queues (`stages.gpu.queues`). One computes and writes each result to a slot; the other copies slots to pinned
host memory. A slot is reused only after it was copied.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.gpu.queues import QueueMark, WorkQueue, make_queues
from stages.musetalk.forward import ForwardPass

#: Number of slots between the two queues: one is filled while the other is copied.
_SLOTS = 2


class PendingResult:
    """A result that is still being computed or copied.

    Attributes:
        dtype: number type that it is computed in.
    """

    def __init__(self, patches: Tensor, good: Tensor, dtype: torch.dtype, copied: QueueMark) -> None:
        self.dtype = dtype
        self._patches, self._good, self._copied = patches, good, copied

    def get(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Wait for the result: patches, BGR uint8 [n, 256 - first row, 256, 3], and whether each is usable, [n]."""
        self._copied.synchronize()
        return self._patches.numpy(), self._good.numpy()


class _Slot:
    """A buffer on the device for one result.

    Attributes:
        patches: uint8 [batch, side - first row, side, 3].
        good: whether each patch is usable, [batch].
        copied: the point at which its content was copied; None before its first use.
    """

    def __init__(self, work: ForwardPass) -> None:
        self.patches = torch.empty(
            work.batch, work.side - work.first_row, work.side, 3, dtype=torch.uint8, device=work.device
        )
        self.good = torch.empty(work.batch, dtype=torch.bool, device=work.device)
        self.copied: QueueMark | None = None


class StreamPipeline:
    """Runs batches through a forward pass. The caller limits the number of pending batches by getting the results.

    Attributes:
        forward_pass: the pass that computes the batches.
    """

    def __init__(self, forward_pass: ForwardPass, compute_and_copy: tuple[WorkQueue, WorkQueue] | None = None) -> None:
        self.forward_pass = forward_pass
        self._compute, self._copy = compute_and_copy or make_queues(forward_pass.device)
        self._slots = [_Slot(forward_pass) for _ in range(_SLOTS)]
        self._turn = 0

    @torch.inference_mode()
    def put(self, tokens: Tensor) -> PendingResult:
        """Start the computation for tokens of up to `forward_pass.batch` frames, [n, 50, 384], which must be on the device."""
        slot, count = self._slots[self._turn % _SLOTS], len(tokens)
        self._turn += 1
        pinned = self.forward_pass.device.type == "cuda"
        # Allocate memory for each result: PyTorch reuses pinned memory only after the copy into it is done.
        patches = torch.empty(count, *slot.patches.shape[1:], dtype=torch.uint8, pin_memory=pinned)
        good = torch.empty(count, dtype=torch.bool, pin_memory=pinned)

        def fill() -> None:
            made_patches, made_good = self.forward_pass.run(tokens)
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
        return PendingResult(patches, good, self.forward_pass.dtype, slot.copied)
