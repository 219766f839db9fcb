"""Chooses the device and precision of the network, and translates the device's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from daemon.errors import MachineError

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
        precision: "auto" chooses bfloat16 if the hardware multiplies it (unlike float16 it does not overflow), float16 on
            older GPUs, float32 on other CPUs.
        device: name of PyTorch's for a certain device.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if precision != "auto":
        return Placement(where, getattr(torch, precision))
    if where.type == "cuda":
        modern = torch.cuda.get_device_capability(where) >= (8, 0)
        return Placement(where, torch.bfloat16 if modern else torch.float16)
    return Placement(where, torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32)


def _cpu_multiplies_bfloat16() -> bool:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def device_errors() -> Iterator[None]:
    """Translate the device's errors in the block.

    Raises:
        MachineError: `gpu-memory` if memory does not suffice, `gpu-lost` if the GPU no longer works.
    """
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise _memory_error() from exc
    except RuntimeError as exc:
        words = str(exc)
        if any(sign in words for sign in ("allocate memory", "out of memory", "ALLOC_FAILED")):
            raise _memory_error() from exc
        if "CUDA" in words or "cuDNN" in words or "CUBLAS" in words:
            raise MachineError(
                "gpu-lost", f"The GPU stopped working: {words.splitlines()[0][:200]}.", "See `nvidia-smi` and `dmesg`."
            ) from exc
        raise


def _memory_error() -> MachineError:
    return MachineError(
        "gpu-memory",
        "There is not enough memory to paint even one frame at a time.",
        "End other programs that use the GPU, or set `stages.lipsync.engine: warp`.",
    )
