"""Layers that the image autoencoder and the UNet share. Attribute names follow the keys of the published files."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.musetalk.networks.group_norm import GroupNorm


class Resnet(nn.Module):
    """Two 3 × 3 convolutions with GroupNorm and SiLU around a shortcut.

    The published UNet also has a time embedding. Its step is always 0, so the loader adds the resulting constant to
    `conv1.bias` (`weights.fold_time_embedding`).
    """

    def __init__(self, channels: int, out_channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, channels, eps=eps)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Compute [batch, out_channels, height, width] from [batch, channels, height, width]."""
        hidden = self.norm2.after_convolution(self.conv1, self.norm1.with_silu(x))
        hidden = self.conv2(hidden)
        return torch.add(self.conv_shortcut(x), hidden)


class Upsample(nn.Module):
    """Doubles the size by repeating pixels, then applies a 3 × 3 convolution: both as one transposed convolution.

    Of the nine products for a pixel several have the same pixel as a factor, so that four are enough. The loader adds their
    weights (`weights.fold_upsampling`).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute [batch, channels, 2 height, 2 width] from [batch, channels, height, width]."""
        enlarged: Tensor = self.conv(x)
        return enlarged


class Downsample(nn.Module):
    """Halves the size by a strided convolution. The autoencoder pads only right and below, the UNet on all sides."""

    def __init__(self, channels: int, *, all_round: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1 if all_round else 0)
        self._all_round = all_round

    def forward(self, x: Tensor) -> Tensor:
        """Compute [batch, channels, height / 2, width / 2] from [batch, channels, height, width]."""
        halved: Tensor = self.conv(x if self._all_round else functional.pad(x, (0, 1, 0, 1)))
        return halved


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Compute scaled dot-product attention over [batch, tokens, channels]; a query batch of 1 is repeated for all keys."""

    def split(x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)
        return parts

    q, k, v = split(query), split(key), split(value)
    if q.shape[0] != k.shape[0]:
        # Contiguous: cuDNN's kernel refuses a stride of 0 in some releases.
        q = q.expand(k.shape[0], -1, -1, -1).contiguous()
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def to_tokens(x: Tensor) -> Tensor:
    """Reshape [batch, channels, height, width] to [batch, height · width, channels]."""
    return x.flatten(2).transpose(1, 2)


def to_image(x: Tensor, like: Tensor) -> Tensor:
    """Reverse `to_tokens`, with the height and width of `like`; the result is channels-last in memory, which is faster."""
    height, width = like.shape[-2:]
    image: Tensor = x.transpose(1, 2).unflatten(2, (height, width))
    return image
