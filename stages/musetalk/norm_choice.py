"""Chooses how a GPU computes GroupNorm: by kernels of our own where they can be built and pass a trial, else by PyTorch's."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from collections.abc import Callable, Iterable
from itertools import product

import torch
from torch import Tensor, nn

from stages.gpu.errors import meaning_of
from stages.musetalk.device import Placement
from stages.musetalk.networks.group_norm import GroupNorm, KeptRows, NormKernel, group_norm_channels_last
from stages.musetalk.norm_record import NormRecord

log = logging.getLogger(__name__)

#: Largest difference of both ways, as a part of the largest number in the result.
_LIMITS = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
#: Height and width of the maps of the trial: several tiles, the last of which is not full.
_HEIGHT, _WIDTH = 70, 9


def choose_norm(
    networks: Iterable[nn.Module],
    placement: Placement,
    *,
    wanted: bool = True,
    record: NormRecord | None = None,
    preparing: Callable[[], None] = lambda: None,
) -> str:
    """Choose how the norms of the networks, which are on their device, are computed there.

    Args:
        wanted: whether to use our own kernels where they work.
        record: remembers between processes that they lost the GPU.
        preparing: is called before the kernels are compiled and tried for each shape.

    Returns:
        `fused`, or `plain`; where the kernels do not work, `plain: ` and the reason, which is logged, too.

    Raises:
        torch.OutOfMemoryError: the trial found no memory.
        RuntimeError: the trial lost the GPU, which is recorded.
    """
    norms = [part for network in networks for part in network.modules() if isinstance(part, GroupNorm)]
    kernel, chosen = None, "plain"
    if wanted and placement.device.type == "cuda":
        shapes = sorted({(norm.num_channels, norm.num_groups) for norm in norms})
        try:
            kernel, chosen = _tried_kernel(shapes, placement, record, preparing), "fused"
        except torch.OutOfMemoryError:
            raise
        except Exception as exc:  # no Triton, no C compiler, an unknown GPU: each has an exception of its own
            reason = _reason(exc)
            _raise_if_lost(exc, placement.device, record)
            chosen = f"plain: {reason}"
            log.warning(
                "GroupNorm is computed by PyTorch's functions, which is slower. Its own kernels failed: %s", reason
            )
    for norm in norms:
        norm.kernel = kernel
    return chosen


def _tried_kernel(
    shapes: Iterable[tuple[int, int]], placement: Placement, record: NormRecord | None, preparing: Callable[[], None]
) -> NormKernel:
    """Return our own kernel after a trial.

    Raises:
        Exception: it cannot be used; of any kind.
    """
    from stages.musetalk.networks.fused_norm import fused_group_norm

    if record is not None and (why := record.refusal()):
        raise RefusedError(why)
    with record.trial() if record is not None else contextlib.nullcontext():
        # Whoever cancels a job while they are compiled ends it here: a process that is killed in the trial counts as a loss.
        for shape in shapes:
            preparing()
            try_norm(fused_group_norm, [shape], placement)
    return fused_group_norm


class RefusedError(Exception):
    """The kernels lost the GPU in an earlier process."""


def _raise_if_lost(error: Exception, device: torch.device, record: NormRecord | None) -> None:
    """Raise the error, or the next one, and record it, if the GPU is lost: nothing can go on in this process then.

    The trial's own error need not say it: a launcher may give other words, so the GPU is asked, too.
    """
    lost: RuntimeError | None = None
    if isinstance(error, RuntimeError) and meaning_of(error) == "lost":
        lost = error
    elif torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize(device)
        except RuntimeError as exc:
            lost = exc
    if lost is None:
        return
    if record is not None:
        record.lost_in_trial(_first_line(lost))
        log.error("Our own kernels for GroupNorm lost the GPU in their trial, and are not tried again: %s", record.path)
    raise lost


def _reason(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, subprocess.CalledProcessError):  # Triton compiles a module for Python before its first kernel
        return "the C compiler failed; Triton needs Python's header files (in Debian: python3-dev)"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


@torch.inference_mode()
def try_norm(kernel: NormKernel, shapes: Iterable[tuple[int, int]], placement: Placement) -> None:
    """Compare a kernel with the plain way, for numbers of channels and groups, so that it is also compiled for each.

    Raises:
        ArithmeticError: the results differ.
    """
    for (channels, groups), shifted, silu, below in product(shapes, (False, True), (False, True), (False, True)):
        x = _numbers((2, channels, _HEIGHT, _WIDTH), 5.0, placement).to(memory_format=torch.channels_last)
        weight, bias, shift = (_numbers((channels,), phase, placement) for phase in (1.0, 2.0, 3.0))
        moved, kept = shift if shifted else None, _kept_rows(groups, placement) if below else None
        got = kernel(x, groups, weight, bias, 1e-6, moved, silu=silu, kept=kept).float()
        want = group_norm_channels_last(x, groups, weight, bias, 1e-6, moved, silu=silu, kept=kept).float()
        apart = float((got - want).abs().max() / want.abs().max())
        if not apart <= _LIMITS[placement.dtype]:
            raise ArithmeticError(f"their results for {channels} channels in {groups} groups are {apart:.1e} off")


def _kept_rows(groups: int, placement: Placement) -> KeptRows:
    """Statistics of rows above the trial's maps, far from those of the maps."""
    mean, spread = (
        _numbers((2, groups), phase, Placement(placement.device, torch.float32)).float() for phase in (4.0, 6.0)
    )
    return KeptRows(mean, spread**2, _HEIGHT * _WIDTH // 2)


def _numbers(shape: tuple[int, ...], phase: float, placement: Placement) -> Tensor:
    """Numbers without a pattern, made without the random generator, which belongs to others; means are far from 0."""
    count = torch.Size(shape).numel()
    made = (torch.arange(count, dtype=torch.float32) * 0.7311 + phase).sin() + phase
    return made.view(shape).to(placement.device, placement.dtype)
