"""Memory on a GPU: reads how much is free, limits PyTorch's use, and reports it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml
import torch

MB = 1 << 20
#: The driver's context and the libraries' code, which PyTorch does not count. It differs by GPU; this is a large GPU's.
CONTEXT_BYTES = 600 * MB


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a GPU, in bytes, for all processes together."""

    free: int
    total: int


def read_gpu_memory(device: torch.device) -> GpuMemory:
    """Read the memory of a GPU from NVML, or from the CUDA driver if NVML does not know the GPU (MIG)."""
    return read_by_nvml(f"GPU-{torch.cuda.get_device_properties(device).uuid}") or GpuMemory(
        *torch.cuda.mem_get_info(device)
    )


def read_by_nvml(uuid: str) -> GpuMemory | None:
    """Read the memory of a GPU from NVML; None if there is no driver or no such GPU."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
            return GpuMemory(int(memory.free), int(memory.total))
        finally:
            pynvml.nvmlShutdown()
    return None


def limit_gpu_memory(device: torch.device, budget: int) -> None:
    """Limit PyTorch to `budget` bytes of the GPU in addition to what this process holds already.

    Larger allocations fail as out of memory: libraries then choose a smaller workspace, or the batch is halved.
    """
    if device.type == "cuda":
        # The driver's total is what PyTorch multiplies the fraction by; NVML gives the whole GPU's where this is a slice of it.
        total = torch.cuda.mem_get_info(device)[1]
        allowed = torch.cuda.memory_reserved(device) + max(budget - CONTEXT_BYTES, 0)
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
        torch.cuda.reset_peak_memory_stats(device)


def lift_memory_limit(device: torch.device) -> None:
    """Undo `limit_gpu_memory`: the other networks of this process may use the GPU's memory again."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def memory_report(device: torch.device) -> dict[str, int]:
    """Report PyTorch's current and peak memory and the GPU's free and total memory, in MB; empty on a CPU."""
    if device.type != "cuda":
        return {}
    memory = read_gpu_memory(device)
    return {
        "vram_mb": torch.cuda.memory_reserved(device) // MB,
        "vram_peak_mb": torch.cuda.max_memory_reserved(device) // MB,
        "vram_free_mb": memory.free // MB,
        "vram_total_mb": memory.total // MB,
    }
