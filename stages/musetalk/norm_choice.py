"""Chooses how a GPU computes GroupNorm: by kernels of our own where they can be built and pass a trial, else by PyTorch's."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import product

import torch
from torch import Tensor, nn

from stages.musetalk.device import Placement
from stages.musetalk.networks.group_norm import GroupNorm, NormKernel, group_norm_channels_last

log = logging.getLogger(__name__)

#: Largest difference of both ways, as a part of the largest number in the result.
_LIMITS = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
#: Height and width of the maps of the trial: several tiles, the last of which is not full.
_HEIGHT, _WIDTH = 70, 9


def choose_norm(networks: Iterable[nn.Module], placement: Placement, *, wanted: bool = True) -> str:
    """Choose how the norms of the networks, which are on their device, are computed there.

    Args:
        wanted: whether to use our own kernels where they work.

    Returns:
        `fused`, or `plain`; where the kernels do not work, `plain: ` and the reason, which is logged, too.

    Raises:
        torch.OutOfMemoryError: the trial found no memory.
    """
    norms = [part for network in networks for part in network.modules() if isinstance(part, GroupNorm)]
    kernel, chosen = None, "plain"
    if wanted and placement.device.type == "cuda":
        try:
            from stages.musetalk.networks.fused_norm import fused_group_norm

            kernel, chosen = fused_group_norm, "fused"
            shapes = {(norm.num_channels, norm.num_groups) for norm in norms}
            try_norm(kernel, sorted(shapes), placement)
        except torch.OutOfMemoryError:
            raise
        except Exception as exc:  # no Triton, no C compiler, an unknown GPU: each has an exception of its own
            reason = (str(exc).splitlines() or [""])[0][:120] or type(exc).__name__
            kernel, chosen = None, f"plain: {reason}"
            log.warning(
                "GroupNorm is computed by PyTorch's functions, which is slower. Its own kernels failed: %s", reason
            )
    for norm in norms:
        norm.kernel = kernel
    return chosen


@torch.inference_mode()
def try_norm(kernel: NormKernel, shapes: Iterable[tuple[int, int]], placement: Placement) -> None:
    """Compare a kernel with the plain way, for numbers of channels and groups, so that it is also compiled for each.

    Raises:
        ArithmeticError: the results differ.
    """
    for (channels, groups), shifted, silu in product(shapes, (False, True), (False, True)):
        x = _numbers((2, channels, _HEIGHT, _WIDTH), 5.0, placement).to(memory_format=torch.channels_last)
        weight, bias, shift = (_numbers((channels,), phase, placement) for phase in (1.0, 2.0, 3.0))
        moved = shift if shifted else None
        got = kernel(x, groups, weight, bias, 1e-6, moved, silu=silu).float()
        want = group_norm_channels_last(x, groups, weight, bias, 1e-6, moved, silu=silu).float()
        apart = float((got - want).abs().max() / want.abs().max())
        if not apart <= _LIMITS[placement.dtype]:
            raise ArithmeticError(f"their results for {channels} channels in {groups} groups are {apart:.1e} off")


def _numbers(shape: tuple[int, ...], phase: float, placement: Placement) -> Tensor:
    """Numbers without a pattern, made without the random generator, which belongs to others; means are far from 0."""
    count = torch.Size(shape).numel()
    made = (torch.arange(count, dtype=torch.float32) * 0.7311 + phase).sin() + phase
    return made.view(shape).to(placement.device, placement.dtype)
