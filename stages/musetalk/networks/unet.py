"""The UNet: computes the latents of the speaking face from those of a masked face and of a reference, and the audio tokens.

Source: the published musetalk.json (Stable Diffusion 1.4's UNet with 8 input channels and 384-wide cross-attention).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.musetalk.networks.group_norm import GroupNorm
from stages.musetalk.networks.layers import Downsample, Resnet, Upsample, attend, to_image, to_tokens

_EPS, _EPS_TRANSFORMER = 1e-5, 1e-6


@dataclass(frozen=True)
class UNetShape:
    """The dimensions of a UNet.

    Attributes:
        channels: channels of each level, finest first.
        heads: attention heads of every level (the published file calls this `attention_head_dim`).
        groups: groups of every GroupNorm.
        layers: ResNets per level on the way down; one more on the way up.
        context: width of the audio tokens.
        inputs, outputs: latent channels of input and output.
    """

    channels: tuple[int, ...]
    heads: int
    groups: int
    layers: int = 2
    context: int = 384
    inputs: int = 8
    outputs: int = 4


class _Attention(nn.Module):
    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self._heads = heads

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        attended: Tensor = self.to_out[0](attend(self.to_q(x), self.to_k(context), self.to_v(context), self._heads))
        return attended


class _GatedGelu(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        gated: Tensor = value * functional.gelu(gate)
        return gated


class _FeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([_GatedGelu(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class _TransformerBlock(nn.Module):
    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(channels), _Attention(channels, channels, heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), _Attention(channels, context, heads)
        self.norm3, self.ff = nn.LayerNorm(channels), _FeedForward(channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        inner = self.norm1(x)
        x = x + self.attn1(inner, inner)
        x = x + self.attn2(self.norm2(x), context)
        return torch.add(x, self.ff(self.norm3(x)))


class _Transformer(nn.Module):
    """Attention over the picture's positions and over the audio tokens."""

    def __init__(self, channels: int, shape: UNetShape) -> None:
        super().__init__()
        self.norm = GroupNorm(shape.groups, channels, eps=_EPS_TRANSFORMER)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([_TransformerBlock(channels, shape.context, shape.heads)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        tokens = self.transformer_blocks[0](to_tokens(self.proj_in(self.norm(x))), context)
        return torch.add(x, self.proj_out(to_image(tokens, x)))


class _Level(nn.Module):
    """ResNets of one resolution, each followed by a transformer except at the coarsest level."""

    def __init__(self, widths: list[tuple[int, int]], shape: UNetShape, *, attention: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(before, after, shape.groups, _EPS) for before, after in widths)
        if attention:
            self.attentions = nn.ModuleList(_Transformer(after, shape) for _, after in widths)
        self._attention = attention

    def step(self, index: int, x: Tensor, context: Tensor) -> Tensor:
        x = self.resnets[index](x)
        return self.attentions[index](x, context) if self._attention else x


class _Down(_Level):
    def __init__(self, widths: list[tuple[int, int]], shape: UNetShape, *, attention: bool, last: bool) -> None:
        super().__init__(widths, shape, attention=attention)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(widths[-1][1], all_round=True)])

    def forward(self, x: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.step(index, x, context)
            skips.append(x)
        for layer in self.downsamplers:
            x = layer(x)
            skips.append(x)
        return x


class _Middle(nn.Module):
    def __init__(self, channels: int, shape: UNetShape) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(channels, channels, shape.groups, _EPS) for _ in range(2))
        self.attentions = nn.ModuleList([_Transformer(channels, shape)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        middle: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x), context))
        return middle


class _Up(_Level):
    def __init__(self, widths: list[tuple[int, int]], shape: UNetShape, *, attention: bool, last: bool) -> None:
        super().__init__(widths, shape, attention=attention)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(widths[-1][1])])

    def forward(self, x: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.resnets)):
            skip = skips.pop()
            if skip.shape[0] != x.shape[0]:  # channels-last, or the joined tensor would not be
                skip = skip.expand(x.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.step(index, torch.cat([x, skip], dim=1), context)
        for layer in self.upsamplers:
            x = layer(x)
        return x


class UNet(nn.Module):
    """The UNet at step 0 of the diffusion schedule, the only step that MuseTalk uses."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        widths, layers, top = shape.channels, shape.layers, len(shape.channels) - 1
        self.conv_in = nn.Conv2d(shape.inputs, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        skips, before = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            pairs = [(before, width)] + [(width, width)] * (layers - 1)
            self.down_blocks.append(_Down(pairs, shape, attention=level < top, last=level == top))
            skips += [width] * (layers + (level < top))
            before = width
        self.mid_block = _Middle(before, shape)
        self.up_blocks = nn.ModuleList()
        for level in range(top, -1, -1):
            pairs = []
            for _ in range(layers + 1):
                pairs.append((before + skips.pop(), widths[level]))
                before = widths[level]
            self.up_blocks.append(_Up(pairs, shape, attention=level < top, last=level == 0))
        self.conv_norm_out = GroupNorm(shape.groups, widths[0], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[0], shape.outputs, 3, padding=1)

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """Predict the speaking face's latents.

        Args:
            latents: [batch, 8, h, w], or [1, 8, h, w] for a still portrait: all that comes before the first
                cross-attention is then computed once for the whole batch.
            tokens: [batch, 50, 384], the sound around each frame.

        Returns:
            [batch, 4, h, w], scaled like `latents`.
        """
        x = self.conv_in(latents)
        skips = [x]
        for down in self.down_blocks:
            x = down(x, tokens, skips)
        x = self.mid_block(x, tokens)
        for up in self.up_blocks:
            x = up(x, tokens, skips)
        predicted: Tensor = self.conv_out(self.conv_norm_out.with_silu(x))
        return predicted
