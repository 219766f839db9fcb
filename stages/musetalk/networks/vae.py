"""The image autoencoder: converts 256 × 256 pictures to 32 × 32 latents and back. Source: sd-vae-ft-mse (AutoencoderKL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from stages.musetalk.networks.group_norm import GroupNorm
from stages.musetalk.networks.layers import Downsample, Resnet, Upsample, attend, to_image, to_tokens

_EPS = 1e-6
LATENT_CHANNELS = 4


@dataclass(frozen=True)
class VaeShape:
    """The dimensions of an autoencoder.

    Attributes:
        channels: channels of each level, finest first.
        groups: groups of every GroupNorm.
        layers: ResNets per level of the encoder.
    """

    channels: tuple[int, ...]
    groups: int
    layers: int = 2


class _Attention(nn.Module):
    """Attention with one head over all positions."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = GroupNorm(groups, channels, eps=_EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = to_tokens(self.group_norm(x))
        mixed = self.to_out[0](attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1))
        return torch.add(x, to_image(mixed, x))


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(channels, channels, groups, _EPS) for _ in range(2))
        self.attentions = nn.ModuleList([_Attention(channels, groups)])

    def forward(self, x: Tensor) -> Tensor:
        middle: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return middle


class _Level(nn.Module):
    def __init__(self, before: int, width: int, layers: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(width if index else before, width, groups, _EPS) for index in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.resnets:
            x = layer(x)
        return x


class _Down(_Level):
    def __init__(self, before: int, width: int, layers: int, groups: int, *, last: bool) -> None:
        super().__init__(before, width, layers, groups)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(width, all_round=False)])

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        for layer in self.downsamplers:
            x = layer(x)
        return x


class UpLevel(_Level):
    """A level of the decoder, which doubles the size at its end, but for the last."""

    def __init__(self, before: int, width: int, layers: int, groups: int, *, last: bool) -> None:
        super().__init__(before, width, layers, groups)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(width)])

    def forward(self, x: Tensor) -> Tensor:
        """Compute [batch, width, 2 height, 2 width] from [batch, before, height, width]; at the last level the size stays."""
        x = super().forward(x)
        for layer in self.upsamplers:
            x = layer(x)
        return x


class _Encoder(nn.Module):
    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths, groups, top = shape.channels, shape.groups, len(shape.channels) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            _Down(widths[max(level - 1, 0)], width, shape.layers, groups, last=level == top)
            for level, width in enumerate(widths)
        )
        self.mid_block = _Middle(widths[top], groups)
        self.conv_norm_out = GroupNorm(groups, widths[top], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[top], 2 * LATENT_CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        encoded: Tensor = self.conv_out(self.conv_norm_out.with_silu(self.mid_block(x)))
        return encoded


class _Decoder(nn.Module):
    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths, groups = shape.channels[::-1], shape.groups
        self.conv_in = nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)
        self.mid_block = _Middle(widths[0], groups)
        self.up_blocks = nn.ModuleList(
            UpLevel(widths[max(level - 1, 0)], width, shape.layers + 1, groups, last=level == len(widths) - 1)
            for level, width in enumerate(widths)
        )
        self.conv_norm_out = GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        decoded: Tensor = self.conv_out(self.conv_norm_out.with_silu(x))
        return decoded

    def levels(self) -> list[UpLevel]:
        """List the levels, coarsest first."""
        return cast("list[UpLevel]", list(self.up_blocks))


class Vae(nn.Module):
    """Encoder and decoder. The loader folds the latents' scale into `post_quant_conv`."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(shape), _Decoder(shape)
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures, [batch, 3, h, w] from -1 to 1, to mean and log variance, [batch, 4, h/8, w/8] each, not scaled."""
        mean, log_variance = self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents, [batch, 4, h, w], to pictures, [batch, 3, 8h, 8w], about -1 to 1."""
        pictures: Tensor = self.decoder(self.post_quant_conv(latents))
        return pictures
