"""One forward pass with everything fixed: the portrait, the batch size, the buffers; on a GPU replayed as a CUDA graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.lipsync.musetalk.unet import UNet
from stages.lipsync.musetalk.vae import Vae

#: Passes before a CUDA graph is recorded, in which libraries choose their kernels and take their workspace.
_WARM_UP = 3
#: A patch whose pixels differ by no more than this is one flat colour, in grey levels; no face is.
_FLAT = 2


class Pending:
    """A result on its way from the device.

    Attributes:
        dtype: the precision it is computed in.
    """

    def __init__(
        self, patches: Tensor, good: Tensor, count: int, dtype: torch.dtype, done: torch.cuda.Event | None = None
    ) -> None:
        self.dtype = dtype
        self._patches, self._good, self._count, self._done = patches, good, count, done

    def get(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Wait for it: patches BGR [count, 256, 256, 3], and which of them are fit to be shown."""
        if self._done is not None:
            self._done.synchronize()
        return self._patches[: self._count].numpy(), self._good[: self._count].numpy()


class Step:
    """UNet, decoder and conversion to pixels for one portrait and one batch size.

    A batch that is not full is filled with silence, so that no other shape is ever computed.
    """

    def __init__(self, unet: UNet, vae: Vae, latents: Tensor, batch: int) -> None:
        """Fix the portrait's `latents` [1, 8, 32, 32], on their device and in their precision."""
        self.batch, self.latents = batch, latents
        self._unet, self._vae = unet, vae
        self._tokens = torch.zeros(batch, 50, 384, device=latents.device, dtype=latents.dtype)
        self._graph: torch.cuda.CUDAGraph | None = None
        if latents.device.type == "cuda":
            self._record()

    @torch.inference_mode()
    def run(self, tokens: Tensor) -> Pending:
        """Start on the tokens of up to `batch` frames, [n, 50, 384]."""
        count = len(tokens)
        self._tokens[:count] = tokens
        self._tokens[count:] = 0
        if self._graph is None:
            return Pending(*self._compute(), count, self.latents.dtype)
        self._graph.replay()
        # Pinned memory is filled while the next batch is computed; each result has its own.
        patches, good = (
            torch.empty(made.shape, dtype=made.dtype, pin_memory=True).copy_(made, non_blocking=True)
            for made in self._made
        )
        done = torch.cuda.Event()
        done.record()
        return Pending(patches, good, count, self.latents.dtype, done)

    @torch.inference_mode()
    def _record(self) -> None:
        side = torch.cuda.Stream(self.latents.device)
        side.wait_stream(torch.cuda.current_stream(self.latents.device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._compute()
        torch.cuda.current_stream(self.latents.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._made = self._compute()
        self._graph = graph

    def _compute(self) -> tuple[Tensor, Tensor]:
        decoded = self._vae.decode(self._unet(self.latents, self._tokens)).float()
        patches = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        spread = (patches.amax(dim=(2, 3)) - patches.amin(dim=(2, 3))).amax(dim=1)
        good = decoded.isfinite().flatten(1).all(dim=1) & (spread > _FLAT)
        return patches.permute(0, 2, 3, 1).contiguous(), good
