"""The baseline: diffusers' own modules, called as MuseTalk's contract says and no cleverer. Weights are drawn at random.

diffusers is no dependency of the product: `pip install diffusers==0.42.0 transformers==5.23.0` into an environment for
measuring.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.musetalk.random_models import Architecture
from stages.gpu.torchaudio_import import import_torchaudio
from stages.musetalk.device import Placement

_SCALE = 0.18215
_LEVELS = 3


class Plain:
    """UNet and autoencoder of the same shape."""

    def __init__(self, placement: Placement, shapes: Architecture) -> None:
        """Raises ImportError where diffusers is not installed."""
        if importlib.util.find_spec("torchaudio") is not None:
            import_torchaudio()  # diffusers imports it, and fails where its compiled part does not fit
        from diffusers import AutoencoderKL, UNet2DConditionModel

        torch.manual_seed(0)
        self.placement = placement
        self._unet: Any = UNet2DConditionModel(
            sample_size=64,
            in_channels=8,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock2D",) * _LEVELS + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * _LEVELS,
            block_out_channels=shapes.unet.channels,
            layers_per_block=2,
            cross_attention_dim=384,
            attention_head_dim=shapes.unet.heads,
            norm_num_groups=shapes.unet.groups,
        )
        self._vae: Any = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=shapes.vae.channels,
            layers_per_block=2,
            latent_channels=4,
            norm_num_groups=shapes.vae.groups,
        )
        for network in (self._unet, self._vae):
            network.requires_grad_(False).eval().to(placement.device, placement.dtype)
        self._timestep = torch.tensor([0], device=placement.device)

    @torch.inference_mode()
    def paint(self, latents: Tensor, tokens: Tensor) -> npt.NDArray[np.uint8]:
        """One batch: latents [n, 8, 32, 32] and tokens [n, 50, 384] to patches, BGR [n, 256, 256, 3]."""
        predicted = self._unet(latents, self._timestep, encoder_hidden_states=tokens).sample
        decoded = self._vae.decode(predicted / _SCALE).sample
        pictures = (decoded / 2 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        return np.asarray((pictures * 255).round().astype(np.uint8)[..., ::-1])
