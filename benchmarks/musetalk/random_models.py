"""Writes model files of MuseTalk's published architecture with random weights, so that a benchmark loads as the product does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stages.musetalk.networks.layers import Resnet
from stages.musetalk.networks.unet import UNet, UNetShape
from stages.musetalk.networks.vae import LATENT_CHANNELS, Vae, VaeShape
from stages.musetalk.networks.whisper import WhisperEncoder, WhisperShape

UNET = UNetShape(channels=(320, 640, 1280, 1280), heads=8, groups=32)
VAE = VaeShape(channels=(128, 256, 512, 512), groups=32)

_UNET_CONFIG = {
    "block_out_channels": UNET.channels, "attention_head_dim": UNET.heads, "norm_num_groups": UNET.groups,
    "layers_per_block": UNET.layers, "in_channels": 8, "out_channels": 4, "cross_attention_dim": 384,
    "flip_sin_to_cos": True, "freq_shift": 0,
}  # fmt: skip
_VAE_CONFIG = {
    "block_out_channels": VAE.channels, "norm_num_groups": VAE.groups, "layers_per_block": VAE.layers,
    "latent_channels": LATENT_CHANNELS,
}  # fmt: skip
_WHISPER = WhisperShape()
_WHISPER_CONFIG = {
    "d_model": _WHISPER.width, "encoder_layers": _WHISPER.layers, "encoder_attention_heads": _WHISPER.heads,
    "encoder_ffn_dim": _WHISPER.inner, "num_mel_bins": _WHISPER.bands, "max_source_positions": _WHISPER.places,
}  # fmt: skip


def write_random_models(root: Path) -> Path:
    """Write the engine's files below `root`, 1.9 GB in float16, unless they are there. Returns `root`."""
    if not (root / "whisper" / "config.json").exists():  # the last one written
        torch.manual_seed(0)
        with torch.device("meta"):
            unet, vae, whisper = UNet(UNET), Vae(VAE), WhisperEncoder(_WHISPER)
        _write(root / "musetalkV15", "unet", _unet_state(unet), "musetalk", _UNET_CONFIG)
        _write(root / "sd-vae", "diffusion_pytorch_model", _random_state(vae), "config", _VAE_CONFIG)
        encoder = {f"model.encoder.{name}": value for name, value in _random_state(whisper).items()}
        _write(root / "whisper", "model", encoder, "config", _WHISPER_CONFIG)
    return root


def _write(folder: Path, stem: str, state: dict[str, Tensor], config_stem: str, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / f"{stem}.safetensors")
    (folder / f"{config_stem}.json").write_text(json.dumps(config))


def _random_state(network: nn.Module) -> dict[str, Tensor]:
    """Draw tensors of the published files' shapes, with which numbers stay about 1 through all layers."""
    state = {name: _draw(tuple(value.shape)) for name, value in network.state_dict().items()}
    for name, value in state.items():
        if name.endswith(".upsamplers.0.conv.weight"):  # in the files a convolution after a doubling of the size
            state[name] = _draw((*value.shape[:2], 3, 3))
        elif name.endswith("weight") and value.dim() == 1:
            state[name] = torch.ones_like(value)
    return state


def _unet_state(unet: UNet) -> dict[str, Tensor]:
    """The UNet's, with the time embedding, which the loader folds into biases."""
    state, (width, *_) = _random_state(unet), UNET.channels
    inner = 4 * width
    linear = {"time_embedding.linear_1": (inner, width), "time_embedding.linear_2": (inner, inner)}
    for name, layer in unet.named_modules():
        if isinstance(layer, Resnet):
            linear[f"{name}.time_emb_proj"] = (layer.conv1.out_channels, inner)
    for name, shape in linear.items():
        state |= {f"{name}.weight": _draw(shape), f"{name}.bias": _draw(shape[:1])}
    return state


def _draw(shape: tuple[int, ...]) -> Tensor:
    if len(shape) < 2:
        return torch.zeros(shape, dtype=torch.float16)
    fan_in = int(torch.tensor(shape[1:]).prod())
    drawn: Tensor = torch.randn(shape) / fan_in**0.5
    return drawn.half()
