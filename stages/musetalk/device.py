"""Chooses the device and precision of the network, and translates the device's errors."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from daemon.errors import MachineError
from stages.gpu import errors as gpu_errors
from stages.gpu.device import current_device

#: Least major compute capability of GPUs for which cuDNN has convolutions in bfloat16; to others it says that it finds no engine,
#: as where memory does not suffice.
_WITH_BFLOAT16 = 8
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Placement:
    """The device that the network runs on, and its number type."""

    device: torch.device
    dtype: torch.dtype

    @property
    def description(self) -> str:
        """Description for the status, such as `cuda:0 (NVIDIA …), bfloat16`."""
        name = f" ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else ""
        return f"{self.device}{name}, {str(self.dtype).removeprefix('torch.')}"


def choose_placement(precision: Precision = "auto", device: str | None = None) -> Placement:
    """Choose the GPU if there is one, otherwise the CPU.

    Args:
        precision: "auto" chooses float16 on a GPU, whose results are about eight times nearer to float32's than bfloat16's (what
            overflows is painted again in float32), bfloat16 on a CPU that multiplies it, and float32 on another.
        device: name of PyTorch's for a certain device.

    Raises:
        MachineError: `gpu-memory`, `gpu-unusable`, `gpu-lost`: the GPU cannot be opened, or does not compute in that precision.
    """
    where = torch.device(device) if device else current_device()
    if where.type == "cuda" and where.index is None:
        where = current_device()
    if precision == "bfloat16" and where.type == "cuda" and torch.cuda.get_device_capability(where)[0] < _WITH_BFLOAT16:
        raise MachineError(
            "gpu-unusable",
            f"{torch.cuda.get_device_name(where)} has no convolutions in bfloat16.",
            "Set `stages.lipsync.musetalk.precision: auto`.",
        )
    if precision != "auto":
        return Placement(where, getattr(torch, precision))
    if where.type == "cuda":
        return Placement(where, torch.float16)
    return Placement(where, torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32)


def _cpu_multiplies_bfloat16() -> bool:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def device_errors() -> contextlib.AbstractContextManager[None]:
    """Translate the errors of the device in the block: see `stages.gpu.errors.device_errors`."""
    return gpu_errors.device_errors(
        "There is not enough memory to paint even one frame at a time.",
        "End other programs that use the GPU, or set `stages.lipsync.engine: warp`.",
        without_gpu="`stages.lipsync.engine: warp` needs no GPU",
    )


def network_switches() -> contextlib.AbstractContextManager[None]:
    """Set cuDNN's switches for the block. They belong to the whole process, in which other networks run, too."""
    return torch.backends.cudnn.flags(
        enabled=True,
        benchmark=True,  # shapes are fixed
        deterministic=False,
        allow_tf32=False,  # float32 is used for the sound, and for pictures only after a lower precision failed
    )
