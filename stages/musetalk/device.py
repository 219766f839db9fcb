"""Where the network runs, in which precision, and what goes wrong there, in our own terms."""

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
class Place:
    """A device and the type of number the network uses there."""

    device: torch.device
    dtype: torch.dtype

    @property
    def words(self) -> str:
        """For the status: `cuda:0 (NVIDIA …), bfloat16`."""
        name = f" ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else ""
        return f"{self.device}{name}, {str(self.dtype).removeprefix('torch.')}"


def choose_place(precision: Precision = "auto", device: str | None = None) -> Place:
    """The GPU where there is one, otherwise the processor.

    `auto` takes bfloat16 where the hardware multiplies it (it cannot overflow as float16 can), float16 on older GPUs,
    float32 on other processors.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if precision != "auto":
        return Place(where, getattr(torch, precision))
    if where.type == "cuda":
        modern = torch.cuda.get_device_capability(where) >= (8, 0)
        return Place(where, torch.bfloat16 if modern else torch.float16)
    return Place(where, torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32)


def _cpu_multiplies_bfloat16() -> bool:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def trouble() -> Iterator[None]:
    """Say in our own terms what the device complains of.

    Raises:
        MachineError: `gpu-memory` where memory does not suffice, `gpu-lost` where the GPU no longer answers.
    """
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise _no_memory() from exc
    except RuntimeError as exc:
        words = str(exc)
        if any(sign in words for sign in ("allocate memory", "out of memory", "ALLOC_FAILED")):
            raise _no_memory() from exc
        if "CUDA" in words or "cuDNN" in words or "CUBLAS" in words:
            raise MachineError(
                "gpu-lost", f"The GPU stopped working: {words.splitlines()[0][:200]}.", "See `nvidia-smi` and `dmesg`."
            ) from exc
        raise


def _no_memory() -> MachineError:
    return MachineError(
        "gpu-memory",
        "There is not enough memory to paint even one frame at a time.",
        "End what else uses the GPU, or set `stages.lipsync.engine: warp`.",
    )
