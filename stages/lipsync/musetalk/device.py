"""Where the network runs, in which precision, and how many frames at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from daemon.errors import MachineError

Precision = Literal["auto", "float32", "bfloat16", "float16"]

#: Memory of one frame's activations at their largest (the decoder's last level), in bytes per byte of a number: the
#: published network has four maps of 256 × 256 × 256 numbers there.
_FRAME_BYTES = 4 * 256 * 256 * 256
#: Left alone on the device: the driver's own context and what libraries take for workspace.
_OVERHEAD_BYTES = 700 * 2**20
#: More frames at once gain nothing on a processor; on a GPU gains end near here.
_MOST_CPU, _MOST_CUDA = 4, 64


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


def choose_batch(place: Place, budget_bytes: int, weight_bytes: int) -> int:
    """How many frames fit beside the weights, in what is free on the GPU and within the budget; a power of two."""
    if place.device.type != "cuda":
        return _MOST_CPU
    free, _ = torch.cuda.mem_get_info(place.device)
    room = min(free, budget_bytes - _OVERHEAD_BYTES - weight_bytes)
    frames = max(1, room // (_FRAME_BYTES * place.dtype.itemsize))
    return int(min(_MOST_CUDA, 2 ** (int(frames).bit_length() - 1)))


def memory_report(place: Place) -> dict[str, int]:
    """MB on the GPU: now, and at most since `reset`; empty on a processor."""
    if place.device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(place.device)
    return {
        "vram_mb": torch.cuda.memory_reserved(place.device) >> 20,
        "vram_peak_mb": torch.cuda.max_memory_reserved(place.device) >> 20,
        "vram_free_mb": free >> 20,
        "vram_total_mb": total >> 20,
    }


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
        if "allocate memory" in words or "out of memory" in words:
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
