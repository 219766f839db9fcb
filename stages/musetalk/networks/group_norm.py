"""GroupNorm, alone or followed by SiLU, that keeps the layout in memory that convolutions on a GPU want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class KeptRows:
    """Statistics of the upper rows of maps, which are not in the maps: the norm counts them in.

    Attributes:
        mean: of each group's numbers in those rows, float32 [batch, groups].
        variance: the same.
        positions: how many positions those rows have.
    """

    mean: Tensor
    variance: Tensor
    positions: int

    def between_neighbours(self, count: int) -> KeptRows:
        """Estimate those of `count` maps, each between two of these that follow each other: the mean of both."""
        mean, variance = ((values[:count] + values[1 : count + 1]) / 2 for values in (self.mean, self.variance))
        return KeptRows(mean, variance, self.positions)


class NormKernel(Protocol):
    """What computes a GroupNorm on CUDA: see `group_norm_channels_last`."""

    def __call__(
        self,
        x: Tensor,
        groups: int,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        shift: Tensor | None = None,
        *,
        silu: bool = False,
        kept: KeptRows | None = None,
    ) -> Tensor:
        """Normalize [batch, channels, height, width]."""


class GroupNorm(nn.GroupNorm):
    """GroupNorm of [batch, channels, height, width]; its weights have the names and shapes of `torch.nn.GroupNorm`.

    On CUDA, PyTorch 2.13 copies a channels-last input to NCHW and gives NCHW back, so that the next convolution copies again:
    about 1 GB for each frame. There the same is computed channels-last.

    On a CPU in float32 it is computed in NCHW, because PyTorch's channels-last kernel subtracts large squares from each other and
    loses three digits.

    Attributes:
        kernel: what computes it on CUDA; None for `group_norm_channels_last`. `stages.musetalk.norm_choice` sets it.
    """

    kernel: NormKernel | None = None

    def channels_last(
        self, x: Tensor, shift: Tensor | None = None, *, silu: bool = False, kept: KeptRows | None = None
    ) -> Tensor:
        """Normalize on any device as on CUDA: see `group_norm_channels_last`."""
        compute = self.kernel or group_norm_channels_last
        return compute(x, self.num_groups, self.weight, self.bias, self.eps, shift, silu=silu, kept=kept)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [batch, channels, height, width]."""
        if x.device.type == "cuda":
            return self.channels_last(x)
        return super().forward(x.contiguous() if x.dtype == torch.float32 else x)

    def with_silu(self, x: Tensor) -> Tensor:
        """Normalize, then apply SiLU."""
        if x.device.type == "cuda":
            return self.channels_last(x, silu=True)
        return functional.silu(self(x), inplace=True)

    def after_convolution(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """Apply a convolution, this norm, and SiLU.

        On CUDA, PyTorch adds a convolution's bias in a pass of its own over the map; there the norm takes it into account.
        """
        if x.device.type != "cuda" or conv.bias is None:
            return self.with_silu(conv(x))
        convolved = functional.conv2d(x, conv.weight, None, conv.stride, conv.padding)
        return self.channels_last(convolved, conv.bias, silu=True)


def group_norm_channels_last(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    shift: Tensor | None = None,
    *,
    silu: bool = False,
    kept: KeptRows | None = None,
) -> Tensor:
    """Normalize each group of channels of [batch, channels, height, width], channels-last before and after.

    The map is read twice for its statistics and once for the result, whose numbers are computed in float32 and rounded once.
    Sums run over the positions of one channel, which lie so in memory that neighbouring channels are read together.

    Args:
        x: the map.
        groups: number of groups.
        weight: factor of each channel, [channels].
        bias: summand of each channel, [channels].
        eps: summand of the variance.
        shift: summand of each channel before the norm, [channels], such as the bias of the convolution that made `x`.
        silu: whether to apply SiLU to the result.
        kept: statistics of rows above the map, with `shift`, that count as a part of it.
    """
    batch, channels, height, width = x.shape
    rows = _rows(x)
    centre, spread = _group_statistics(rows, groups, shift)
    if kept is not None:
        part = kept.positions / (kept.positions + height * width)
        away = kept.mean[..., None] - centre
        spread = spread * (1 - part) + kept.variance[..., None] * part + away**2 * (part * (1 - part))
        centre = centre + away * part
    scale = (spread + eps).rsqrt() * weight.float().view(groups, -1)
    offset = bias.float().view(groups, -1) - centre * scale
    if shift is not None:
        offset = offset + scale * shift.float().view(groups, -1)
    # With `out`, a GPU reads and writes the map in its own number type, and computes in that of the scales.
    normed = torch.addcmul(
        offset.view(batch, 1, channels), rows, scale.view(batch, 1, channels), out=torch.empty_like(rows)
    )
    if silu:
        functional.silu(normed, inplace=True)
    return normed.view(batch, height, width, channels).permute(0, 3, 1, 2)


def measure_rows(x: Tensor, groups: int, shift: Tensor | None = None) -> KeptRows:
    """Measure maps, [batch, channels, height, width], as `group_norm_channels_last` does."""
    mean, variance = _group_statistics(_rows(x), groups, shift)
    return KeptRows(mean[..., 0], variance[..., 0], x.shape[2] * x.shape[3])


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _group_statistics(rows: Tensor, groups: int, shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute each group's mean and variance, float32 [batch, groups, 1], of [batch, positions, channels]."""
    mean = rows.mean(dim=1, dtype=torch.float32)
    variance = _channel_variance(rows, mean)
    if shift is not None:
        mean = mean + shift.float()
    mean, variance = (values.view(len(rows), groups, -1) for values in (mean, variance))
    centre = mean.mean(2, keepdim=True)
    return centre, (variance + (mean - centre) ** 2).mean(2, keepdim=True)


def _channel_variance(rows: Tensor, mean: Tensor) -> Tensor:
    """Compute each channel's variance over the positions, float32 [batch, channels], of [batch, positions, channels]."""
    count = rows.shape[1]
    if rows.dtype == torch.float32:
        # Of the differences: the squares' own sum loses digits where a channel's mean is large.
        variance: Tensor = torch.linalg.vector_norm(rows - mean[:, None], dim=1) ** 2 / count
        return variance
    # float32 has digits enough for what half precision can tell apart, and the map need not be written for it.
    square: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32) ** 2 / count
    return (square - mean**2).clamp(min=0)
