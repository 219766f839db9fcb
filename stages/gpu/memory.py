"""Memory on a GPU: reads how much is free and who holds it, limits PyTorch's use, and reports it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pynvml
import torch

MB = 1 << 20
#: The driver's context and the libraries' code, which PyTorch does not count. It differs by GPU; this is a large GPU's.
CONTEXT_BYTES = 600 * MB
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a GPU, in bytes, for all processes together."""

    free: int
    total: int


def read_gpu_memory(device: torch.device) -> GpuMemory:
    """Read the memory of a GPU, or of a slice of one (MIG), from the CUDA driver; NVML may tell that of the whole GPU."""
    return GpuMemory(*torch.cuda.mem_get_info(device))


def free_by_nvml(device: torch.device) -> int:
    """Return the free memory of a GPU, bytes, without a CUDA context on it; 0 where NVML does not know the GPU."""
    memory = _ask_nvml(device, pynvml.nvmlDeviceGetMemoryInfo)
    return 0 if memory is None else int(memory.free)


def held_by_gpu_lane(device: torch.device) -> int:
    """Return how much of a GPU's memory workers of the gpu lane hold, bytes; 0 where NVML does not tell."""
    processes = _ask_nvml(device, pynvml.nvmlDeviceGetComputeRunningProcesses) or []
    return sum(int(one.usedGpuMemory or 0) for one in processes if _is_gpu_worker(one.pid))


def _is_gpu_worker(pid: int) -> bool:
    try:
        return b"--lane\0gpu\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended, or belongs to another container
        return False


def _ask_nvml(device: torch.device, question: Callable[[Any], Answer]) -> Answer | None:
    """Ask NVML about a GPU, by the GPU's own UUID; None if there is no driver or no such GPU."""
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            return question(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        finally:
            pynvml.nvmlShutdown()
    return None


@contextlib.contextmanager
def memory_limited(device: torch.device, budget: int) -> Iterator[None]:
    """Limit PyTorch, from the block on, to `budget` bytes of the GPU in addition to what this process holds already.

    Larger allocations fail as out of memory: libraries then choose a smaller workspace, or the batch is halved. The block loads
    the networks; where it fails, there is nothing to unload later, and the limit ends with it.
    """
    _limit_memory(device, budget)
    try:
        yield
    except BaseException:
        with contextlib.suppress(RuntimeError):  # a GPU that was lost has no limit
            lift_memory_limit(device)
        raise


def _limit_memory(device: torch.device, budget: int) -> None:
    if device.type == "cuda":
        # The driver's total is what PyTorch multiplies the fraction by.
        total = read_gpu_memory(device).total
        allowed = torch.cuda.memory_reserved(device) + max(budget - CONTEXT_BYTES, 0)
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
        torch.cuda.reset_peak_memory_stats(device)


def lift_memory_limit(device: torch.device) -> None:
    """Undo `memory_limited`: the other networks of this process may use the GPU's memory again."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def memory_report(device: torch.device) -> dict[str, int]:
    """Report PyTorch's current and peak memory and the GPU's free and total memory, in MB; empty on a CPU, and where the GPU does
    not answer: the next work on it says so, and a finished result is not lost for a report.
    """
    if device.type != "cuda":
        return {}
    try:
        memory = read_gpu_memory(device)
    except RuntimeError:
        return {}
    return {
        "vram_mb": torch.cuda.memory_reserved(device) // MB,
        "vram_peak_mb": torch.cuda.max_memory_reserved(device) // MB,
        "vram_free_mb": memory.free // MB,
        "vram_total_mb": memory.total // MB,
    }
