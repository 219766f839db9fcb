"""GroupNorm, alone or followed by SiLU, that keeps the layout in memory that convolutions on a GPU want."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class GroupNorm(nn.GroupNorm):
    """GroupNorm of [batch, channels, height, width]; its weights have the names and shapes of `torch.nn.GroupNorm`.

    On CUDA, PyTorch 2.13 copies a channels-last input to NCHW and gives NCHW back, so that the next convolution copies again:
    about 1 GB for each frame. There the same is computed channels-last.

    On a CPU in float32 it is computed in NCHW, because PyTorch's channels-last kernel subtracts large squares from each other and
    loses three digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [batch, channels, height, width]; see the class."""
        if x.device.type == "cuda":
            return group_norm_channels_last(x, self.num_groups, self.weight, self.bias, self.eps)
        return super().forward(x.contiguous() if x.dtype == torch.float32 else x)

    def with_silu(self, x: Tensor) -> Tensor:
        """Normalize, then apply SiLU."""
        return functional.silu(self(x), inplace=True)


def group_norm_channels_last(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalize each group of channels of [batch, channels, height, width], channels-last before and after.

    Means and variances are computed in float32, in two passes, whatever the number type of `x`.
    """
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, height * width, groups, channels // groups)
    mean = rows.mean(dim=(1, 3), dtype=torch.float32)
    # The norm of the differences, and not of the values: their squares would be subtracted from each other.
    centred = rows - mean[:, None, :, None].to(x.dtype)
    count = rows.shape[1] * rows.shape[3]
    shift = centred.mean(dim=(1, 3), dtype=torch.float32)  # what rounding the mean to the number type left
    square = torch.linalg.vector_norm(centred, dim=(1, 3), dtype=torch.float32) ** 2 / count
    scale = (square - shift**2 + eps).rsqrt()[:, :, None] * weight.float().view(groups, -1)
    offset = bias.float().view(groups, -1) - shift[:, :, None] * scale
    normed = torch.addcmul(offset[:, None].to(x.dtype), centred, scale[:, None].to(x.dtype))
    return normed.view(batch, height, width, channels).permute(0, 3, 1, 2)
