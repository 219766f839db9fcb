"""Writes model files of MuseTalk's architecture with random weights, so that a benchmark loads as the product does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stages.musetalk.networks.layers import Resnet
from stages.musetalk.networks.unet import UNet, UNetShape
from stages.musetalk.networks.vae import LATENT_CHANNELS, Vae, VaeShape
from stages.musetalk.networks.whisper import WhisperEncoder, WhisperShape


@dataclass(frozen=True)
class Architecture:
    """The shapes of the three networks."""

    unet: UNetShape
    vae: VaeShape
    whisper: WhisperShape

    def configs(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the configuration files of UNet, autoencoder and Whisper."""
        unet, vae, whisper = self.unet, self.vae, self.whisper
        return {
            "block_out_channels": unet.channels, "attention_head_dim": unet.heads, "norm_num_groups": unet.groups,
            "layers_per_block": unet.layers, "in_channels": 8, "out_channels": 4, "cross_attention_dim": 384,
            "flip_sin_to_cos": True, "freq_shift": 0,
        }, {
            "block_out_channels": vae.channels, "norm_num_groups": vae.groups, "layers_per_block": vae.layers,
            "latent_channels": LATENT_CHANNELS,
        }, {
            "d_model": whisper.width, "encoder_layers": whisper.layers, "encoder_attention_heads": whisper.heads,
            "encoder_ffn_dim": whisper.inner, "num_mel_bins": whisper.bands, "max_source_positions": whisper.places,
        }  # fmt: skip


PUBLISHED = Architecture(
    UNetShape(channels=(320, 640, 1280, 1280), heads=8, groups=32),
    VaeShape(channels=(128, 256, 512, 512), groups=32),
    WhisperShape(),
)
#: Takes a ten-thousandth of the work: it proves the benchmark, and measures nothing.
TINY = Architecture(
    UNetShape(channels=(8, 12, 16, 16), heads=2, groups=4),
    VaeShape(channels=(8, 8, 8, 8), groups=4),
    WhisperShape(inner=32),
)


def write_random_models(root: Path, shapes: Architecture = PUBLISHED) -> Path:
    """Write the engine's files below `root` unless they are there; the published architecture's have 1.9 GB. Returns `root`."""
    if not (root / "whisper" / "config.json").exists():  # the last one written
        torch.manual_seed(0)
        with torch.device("meta"):
            unet, vae, whisper = UNet(shapes.unet), Vae(shapes.vae), WhisperEncoder(shapes.whisper)
        configs = shapes.configs()
        _write(root / "musetalkV15", "unet", _unet_state(unet, shapes.unet.channels[0]), "musetalk", configs[0])
        _write(root / "sd-vae", "diffusion_pytorch_model", _random_state(vae), "config", configs[1])
        encoder = {f"model.encoder.{name}": value for name, value in _random_state(whisper).items()}
        _write(root / "whisper", "model", encoder, "config", configs[2])
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


def _unet_state(unet: UNet, width: int) -> dict[str, Tensor]:
    """The UNet's, with the time embedding, which the loader folds into biases."""
    state = _random_state(unet)
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
