"""Memory on the GPU: reads how much is free, chooses the batch that fits, limits PyTorch's use, and reports it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml
import torch

from stages.musetalk.device import Placement

MB = 1 << 20
#: Memory per frame of the batch, in numbers of the network's type. The peak is in the decoder's last level: three maps of 256
#: channels and 256 × 256 positions (a test counts it from every allocation of the published network), and a quarter more for the
#: workspace of convolutions.
FRAME_NUMBERS = 3 * 256 * 256 * 256 * 5 // 4
#: Whisper's weights and activations for half a minute, in float32; encoding a portrait takes less.
_AUDIO_ENCODER_BYTES = 200 * MB
#: The driver's context and the libraries' code, which PyTorch does not count. It differs by GPU; this is a large GPU's.
_CONTEXT_BYTES = 600 * MB
#: Budget without a setting: so many bytes, or this part of the GPU's memory where that is more.
_LEAST_BUDGET, _BUDGET_PART = 5_600_000_000, 0.4
#: Maximum batch on a CPU and on a GPU: more frames per pass are hardly faster.
_MOST_CPU, _MOST_CUDA = 4, 64


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


def choose_budget(memory: GpuMemory | None) -> int:
    """Choose how many bytes of a GPU to use at most where the settings leave it open: on a large GPU more frames fit into a pass.

    The rest is for the other networks of this process, such as XTTS's 4 GB, and for other programs.
    """
    return max(_LEAST_BUDGET, int(_BUDGET_PART * memory.total)) if memory else _LEAST_BUDGET


def choose_batch(dtype: torch.dtype, weight_numbers: int, budget: int, memory: GpuMemory | None) -> int:
    """Choose the number of frames per pass, a power of two.

    Args:
        dtype: number type of weights and activations.
        weight_numbers: number of parameters of UNet and autoencoder.
        budget: maximum number of bytes to use on the GPU, including the driver's context.
        memory: memory of the GPU before the networks are loaded; None on a CPU.
    """
    if memory is None:
        return _MOST_CPU
    room = min(memory.free, budget) - _CONTEXT_BYTES - _AUDIO_ENCODER_BYTES - weight_numbers * dtype.itemsize
    frames = max(1, room // (FRAME_NUMBERS * dtype.itemsize))
    return int(min(_MOST_CUDA, 2 ** (frames.bit_length() - 1)))


def limit_gpu_memory(placement: Placement, budget: int) -> None:
    """Limit PyTorch to `budget` bytes of the GPU in addition to what this process holds already.

    Larger allocations fail as out of memory: libraries then choose a smaller workspace, or the batch is halved.
    """
    if placement.device.type == "cuda":
        # The driver's total is what PyTorch multiplies the fraction by; NVML gives the whole GPU's where this is a slice of it.
        total = torch.cuda.mem_get_info(placement.device)[1]
        allowed = torch.cuda.memory_reserved(placement.device) + max(budget - _CONTEXT_BYTES, 0)
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), placement.device)
        torch.cuda.reset_peak_memory_stats(placement.device)


def lift_memory_limit(placement: Placement) -> None:
    """Undo `limit_gpu_memory`: the other networks of this process may use the GPU's memory again."""
    if placement.device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0, placement.device)


def memory_report(placement: Placement) -> dict[str, int]:
    """Report PyTorch's current and peak memory and the GPU's free and total memory, in MB; empty on a CPU."""
    if placement.device.type != "cuda":
        return {}
    memory = read_gpu_memory(placement.device)
    return {
        "vram_mb": torch.cuda.memory_reserved(placement.device) // MB,
        "vram_peak_mb": torch.cuda.max_memory_reserved(placement.device) // MB,
        "vram_free_mb": memory.free // MB,
        "vram_total_mb": memory.total // MB,
    }
