"""One forward pass with a fixed batch size and fixed buffers; on a GPU it is recorded once and replayed."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from stages.gpu.errors import meaning_of
from stages.musetalk.device import network_switches
from stages.musetalk.networks.lower_rows import LowerRowsDecoder
from stages.musetalk.networks.unet import UNet
from stages.musetalk.networks.vae import Vae

#: Passes before a CUDA graph is recorded, in which libraries choose their kernels and take their workspace.
_WARM_UP = 3
#: A patch whose pixels differ by no more than this is one flat colour, which a face never is. 8-bit levels
_FLAT = 2


class ForwardPass:
    """UNet, decoder and conversion to pixels for one batch size.

    A batch that is not full is padded with its last frame, so that all shapes are fixed. On a GPU the pass is recorded as a CUDA
    graph, so that one call starts about a thousand small kernels. It reads the portrait and the sound from its own buffers, so
    that one recording serves every portrait.

    Attributes:
        batch: frames per pass.
        dtype: number type of the computation.
        device: device of the computation.
        side: side of a whole patch, px.
        first_row: the first row of a patch that is made.
        execution: `eager`, `CUDA graph`, or `eager: ` and the reason why no graph could be recorded.
    """

    def __init__(self, unet: UNet, vae: Vae, latents: Tensor, batch: int, first_row: int = 0) -> None:
        """Allocate buffers for `latents`, [1, 8, h, w], on their device and in their number type, and record the pass.

        With a `first_row`, the decoder leaves out what rows from it on do not need: see `networks.lower_rows`.
        """
        self.batch, self.dtype, self.device = batch, latents.dtype, latents.device
        self.side = 8 * latents.shape[-1]
        self.first_row = first_row
        self.execution = "eager"
        self._unet, self._vae = unet, vae
        leaves_out = LowerRowsDecoder.can_leave_out(vae, first_row, batch)
        self._lower = LowerRowsDecoder(vae, first_row) if leaves_out else None
        self._latents = latents.clone(memory_format=torch.channels_last)
        self._tokens = torch.zeros(batch, 50, 384, device=self.device, dtype=self.dtype)
        self._graph: torch.cuda.CUDAGraph | None = None
        if self.device.type == "cuda":
            self._record()

    def serves(self, batch: int, first_row: int) -> bool:
        """Whether this is a pass for that batch size and that first row."""
        return (self.batch, self.first_row) == (batch, first_row)

    @torch.inference_mode()
    def set_portrait(self, latents: Tensor) -> None:
        """Use another portrait's latents, [1, 8, h, w], from now on."""
        self._latents.copy_(latents)

    @torch.inference_mode()
    def run(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Paint the frames of up to `batch` tokens, [n, 50, 384].

        Returns:
            Patches, BGR uint8 [batch, 8h - first_row, 8w, 3], and whether each is usable, [batch]. Those from n on belong to the
            padding. The next call overwrites both.
        """
        self._tokens[: len(tokens)] = tokens
        self._tokens[len(tokens) :] = tokens[-1:]
        if self._graph is None:
            return self._compute()
        self._graph.replay()
        return self._made

    @torch.inference_mode()
    def _record(self) -> None:
        """Record the graph. If that fails for another reason than memory, passes are computed eagerly."""
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        # "thread_local": calls of other threads must not disturb the recording.
        recording = torch.cuda.graph(graph, pool, capture_error_mode="thread_local")
        # Its stream, which is the same in all recordings, and not a new one: PyTorch keeps 8 or 32 MB for cuBLAS for each stream
        # that a product is computed on, and gives back what belongs to a recording's when that is gone.
        current, side = torch.cuda.current_stream(self.device), recording.capture_stream
        assert side is not None
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._compute()
        current.wait_stream(side)
        try:
            with recording:
                self._made = self._compute()
            self._graph, self.execution = graph, "CUDA graph"
        except RuntimeError as exc:
            torch.cuda.set_stream(current)  # torch leaves its recording's stream current when the recording fails
            _release_pool(graph, pool, self.device)
            torch.cuda.synchronize(self.device)  # raises if the GPU failed, and not only the recording
            if memory := find_out_of_memory(exc):
                raise memory from exc
            self.execution = f"eager: {str(exc).splitlines()[0][:120]}"

    def _compute(self) -> tuple[Tensor, Tensor]:
        with network_switches():
            predicted = self._unet(self._latents, self._tokens)
            if self._lower is not None:
                decoded = self._lower.decode(predicted).float()
            else:
                decoded = self._vae.decode(predicted)[:, :, self.first_row :].float()
        patches = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        spread = (patches.amax(dim=(2, 3)) - patches.amin(dim=(2, 3))).amax(dim=1)
        good = decoded.isfinite().flatten(1).all(dim=1) & (spread > _FLAT)
        return patches.permute(0, 2, 3, 1).contiguous(), good


def _release_pool(graph: torch.cuda.CUDAGraph, pool: Any, device: torch.device) -> None:
    """Release the memory of a recording that failed.

    PyTorch 2.13 does so only for one that was ended. Its allocator otherwise takes the recording for one that goes on, refuses
    `empty_cache` from then on, and keeps the memory. Later releases do so always (pull request 190348), and it must not be done
    twice: their destructor would release a pool that is gone.
    """
    with contextlib.suppress(RuntimeError):
        graph.pool()
        return  # it was ended, and releases its memory itself
    for release in (torch._C._cuda_endAllocateToPool, torch._C._cuda_releasePool):
        with contextlib.suppress(RuntimeError):  # that much was done already
            release(device.index, pool)


def find_out_of_memory(exc: BaseException | None) -> RuntimeError | None:
    """Find an error that means too little memory, PyTorch's or a library's, among an exception and its causes: ending a recording
    raises another error on top.
    """
    while exc is not None:
        if isinstance(exc, RuntimeError) and meaning_of(exc) == "memory":
            return exc
        exc = exc.__cause__ or exc.__context__
    return None
