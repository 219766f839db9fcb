"""One forward pass with everything fixed: the batch size and the buffers; on a GPU recorded once and replayed."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.musetalk.unet import UNet
from stages.musetalk.vae import Vae

#: Passes before a CUDA graph is recorded, in which libraries choose their kernels and take their workspace.
_WARM_UP = 3
#: A patch whose pixels differ by no more than this is one flat colour, in grey levels; no face is.
_FLAT = 2


class Step:
    """UNet, decoder and conversion to pixels for one batch size.

    A batch that is not full is filled with silence, so that no other shape is ever computed. On a GPU the pass is recorded
    as a CUDA graph: about a thousand small kernels are then started by one call. It reads the portrait and the sound from
    buffers of its own, so that one recording serves every portrait.

    Attributes:
        batch: frames at once.
        dtype: the precision it is computed in.
        device: where.
        side: of a patch, px.
        how: `eager`, `CUDA graph`, or `eager: ` and why no graph could be recorded.
    """

    def __init__(self, unet: UNet, vae: Vae, latents: Tensor, batch: int) -> None:
        """Take buffers for latents like these, [1, 8, h, w], on their device and in their precision."""
        self.batch, self.dtype, self.device = batch, latents.dtype, latents.device
        self.side = 8 * latents.shape[-1]
        self.how = "eager"
        self._unet, self._vae = unet, vae
        self._latents = latents.clone(memory_format=torch.channels_last)
        self._tokens = torch.zeros(batch, 50, 384, device=self.device, dtype=self.dtype)
        self._graph: torch.cuda.CUDAGraph | None = None
        if self.device.type == "cuda":
            self._record()

    @torch.inference_mode()
    def look_at(self, latents: Tensor) -> None:
        """Take another portrait's latents for what follows."""
        self._latents.copy_(latents)

    @torch.inference_mode()
    def run(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Paint the frames of up to `batch` tokens, [n, 50, 384].

        Returns:
            Patches BGR uint8 [batch, 8h, 8w, 3], and which of them are fit to be shown, [batch]; those from n on are of
            silence. Both are overwritten by the next call.
        """
        self._tokens[: len(tokens)] = tokens
        self._tokens[len(tokens) :] = 0
        if self._graph is None:
            return self._compute()
        self._graph.replay()
        return self._made

    @torch.inference_mode()
    def _record(self) -> None:
        """Record the graph. Where that fails for another reason than memory, the pass is computed call by call."""
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._compute()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            # Only this thread's calls are of interest to the recording.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._made = self._compute()
            self._graph, self.how = graph, "CUDA graph"
        except RuntimeError as exc:
            torch.cuda.synchronize(self.device)  # raises where it is the GPU that failed, not the recording
            if memory := of_memory(exc):
                raise memory from exc
            self.how = f"eager: {str(exc).splitlines()[0][:120]}"

    def _compute(self) -> tuple[Tensor, Tensor]:
        decoded = self._vae.decode(self._unet(self._latents, self._tokens)).float()
        patches = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        spread = (patches.amax(dim=(2, 3)) - patches.amin(dim=(2, 3))).amax(dim=1)
        good = decoded.isfinite().flatten(1).all(dim=1) & (spread > _FLAT)
        return patches.permute(0, 2, 3, 1).contiguous(), good


def of_memory(exc: BaseException | None) -> torch.OutOfMemoryError | None:
    """The lack of memory that another error hides: the end of a recording complains on its own account."""
    while exc is not None and not isinstance(exc, torch.OutOfMemoryError):
        exc = exc.__cause__ or exc.__context__
    return exc
