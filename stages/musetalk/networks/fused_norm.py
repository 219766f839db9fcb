"""GroupNorm, a convolution's bias and SiLU as Triton kernels, which read a map twice and write it once.

PyTorch's builds for CUDA bring Triton. Only `stages.musetalk.norm_choice` imports this module, where the kernels are usable.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from stages.musetalk.networks.group_norm import KeptRows

#: Numbers in one tile of a map, and the most channels in it: a GPU reads neighbouring channels together.
_TILE, _MOST_COLUMNS = 4096, 64
#: Most parts of a map whose statistics are computed apart. A power of two
_PARTS = 64


# `do_not_specialize`: Triton compiles an argument that is 1 in as a constant, which is no tensor.
@triton.jit(do_not_specialize=("positions", "width", "span"))
def _measure(
    x,
    means,
    squares,
    positions,
    width,
    channels,
    span,
    s_n,
    s_c,
    s_h,
    s_w,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
):
    """Each channel's mean, and its sum of squared differences from that mean, over `span` positions of the map.

    Tiles are merged by Chan's formula: a sum of squares would lose digits where a mean is large.
    """
    part, item = tl.program_id(0), tl.program_id(2).to(tl.int64)
    columns = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    first = part * span
    last = tl.minimum(first + span, positions)
    mean = tl.zeros([tile_columns], tl.float32)
    square = tl.zeros([tile_columns], tl.float32)
    seen = 0.0
    for start in range(first, last, tile_rows):
        rows = start + tl.arange(0, tile_rows)
        inside = (rows < last)[:, None] & (columns < channels)[None, :]
        at = (rows // width).to(tl.int64) * s_h + (rows % width) * s_w
        tile = tl.load(x + item * s_n + at[:, None] + (columns * s_c)[None, :], mask=inside, other=0.0).to(tl.float32)
        count = tl.minimum(last - start, tile_rows).to(tl.float32)
        tile_mean = tl.sum(tile, axis=0) / count
        differences = tl.where(inside, tile - tile_mean[None, :], 0.0)
        delta = tile_mean - mean
        mean += delta * (count / (seen + count))
        square += tl.sum(differences * differences, axis=0) + delta * delta * (seen * count / (seen + count))
        seen += count
    place = (item * tl.num_programs(0) + part) * channels + columns
    tl.store(means + place, mean, mask=columns < channels)
    tl.store(squares + place, square, mask=columns < channels)


@triton.jit(do_not_specialize=("positions", "span", "parts", "kept_positions"))
def _combine(
    means, squares, weight, bias, shift, scales, offsets, kept_means, kept_variances,
    positions, channels, span, parts, kept_positions, eps,
    group_channels: tl.constexpr, tile_columns: tl.constexpr, most_parts: tl.constexpr, shifted: tl.constexpr,
):  # fmt: skip
    """The factor and the summand of each channel of one group, whose `group_channels` channels are normalized together.

    `kept_positions` more positions, of which only each group's mean and variance are known, are counted in; it may be 0.
    """
    group, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    inner = tl.arange(0, tile_columns)
    columns = group * group_channels + inner
    part = tl.arange(0, most_parts)
    place = (item * parts + part)[:, None] * channels + columns[None, :]
    inside = (part < parts)[:, None] & (inner < group_channels)[None, :]
    count = tl.maximum(tl.minimum(positions - part * span, span), 0).to(tl.float32)[:, None]
    part_mean = tl.load(means + place, mask=inside, other=0.0)
    total = positions.to(tl.float32)
    mean = tl.sum(part_mean * count, axis=0) / total
    delta = tl.where(inside, part_mean - mean[None, :], 0.0)
    square = tl.sum(tl.load(squares + place, mask=inside, other=0.0) + delta * delta * count, axis=0)
    real = inner < group_channels
    moved = tl.zeros([tile_columns], tl.float32)
    if shifted:
        moved = tl.load(shift + columns, mask=real, other=0.0).to(tl.float32)
    centre = tl.sum(tl.where(real, mean + moved, 0.0), axis=0) / group_channels
    apart = tl.where(real, mean + moved - centre, 0.0)
    variance = (tl.sum(square, axis=0) / total + tl.sum(apart * apart, axis=0)) / group_channels
    # Without kept positions this changes nothing; always, so that no second variant is compiled.
    kept_part = kept_positions.to(tl.float32) / (total + kept_positions.to(tl.float32))
    counted = kept_positions > 0
    known = item * tl.num_programs(0) + group
    away = tl.load(kept_means + known, mask=counted, other=0.0) - centre
    kept_variance = tl.load(kept_variances + known, mask=counted, other=0.0)
    variance = variance * (1.0 - kept_part) + kept_variance * kept_part
    variance += away * away * (kept_part * (1.0 - kept_part))
    centre += away * kept_part
    factor = tl.load(weight + columns, mask=real, other=0.0).to(tl.float32) / tl.sqrt(variance + eps)
    summand = tl.load(bias + columns, mask=real, other=0.0).to(tl.float32) + (moved - centre) * factor
    tl.store(scales + item * channels + columns, factor, mask=real)
    tl.store(offsets + item * channels + columns, summand, mask=real)


@triton.jit(do_not_specialize=("positions", "width"))
def _apply(
    x, y, scales, offsets, positions, width, channels, s_n, s_c, s_h, s_w,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr, with_silu: tl.constexpr,
):  # fmt: skip
    """Write one tile of the result, [batch, positions, channels]."""
    item = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    columns = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    real = columns < channels
    inside = (rows < positions)[:, None] & real[None, :]
    at = (rows // width).to(tl.int64) * s_h + (rows % width) * s_w
    tile = tl.load(x + item * s_n + at[:, None] + (columns * s_c)[None, :], mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(scales + item * channels + columns, mask=real, other=0.0)
    offset = tl.load(offsets + item * channels + columns, mask=real, other=0.0)
    tile = tile * scale[None, :] + offset[None, :]
    if with_silu:
        tile = tile / (1.0 + tl.exp(-tile))
    place = (item * positions + rows)[:, None] * channels + columns[None, :]
    tl.store(y + place, tile.to(y.dtype.element_ty), mask=inside)


def fused_group_norm(
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
    """Compute what `group_norm.group_norm_channels_last` computes, and round halves once, after SiLU.

    `x` may have any strides, such as those of a part of the rows; the result is channels-last.
    """
    batch, channels, height, width = x.shape
    positions = height * width
    columns = min(_MOST_COLUMNS, triton.next_power_of_2(channels))
    rows = _TILE // columns
    span = triton.cdiv(triton.cdiv(positions, _PARTS), rows) * rows
    parts, blocks = triton.cdiv(positions, span), triton.cdiv(channels, columns)
    means, squares = torch.empty(2, batch, parts, channels, dtype=torch.float32, device=x.device)
    scales, offsets = torch.empty(2, batch, channels, dtype=torch.float32, device=x.device)
    made = torch.empty_strided(
        x.shape, (positions * channels, 1, width * channels, channels), dtype=x.dtype, device=x.device
    )
    _measure[(parts, blocks, batch)](
        x, means, squares, positions, width, channels, span, *x.stride(), tile_rows=rows, tile_columns=columns
    )
    each = channels // groups
    _combine[(groups, batch)](
        means, squares, weight, bias, weight if shift is None else shift, scales, offsets,
        kept.mean if kept else means, kept.variance if kept else squares,
        positions, channels, span, parts, kept.positions if kept else 0, eps,
        group_channels=each, tile_columns=triton.next_power_of_2(each), most_parts=_PARTS, shifted=shift is not None,
    )  # fmt: skip
    _apply[(triton.cdiv(positions, rows), blocks, batch)](
        x,
        made,
        scales,
        offsets,
        positions,
        width,
        channels,
        *x.stride(),
        tile_rows=rows,
        tile_columns=columns,
        with_silu=silu,
    )
    return made
