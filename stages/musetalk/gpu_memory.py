"""Memory on the GPU: how much is free, how many frames fit into it, a bound that is kept, and what is held."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml
import torch

from stages.musetalk.device import Place

MB = 1 << 20
#: Memory of one more frame in the batch, in numbers of the network's type. The most is needed in the decoder's last level:
#: three maps of 256 channels and 256 × 256 places, which a test counts by following every allocation of the published
#: network; a quarter more is for what convolutions borrow to work in.
FRAME_NUMBERS = 3 * 256 * 256 * 256 * 5 // 4
#: Whisper's weights and half a minute of its work, both in float32; the autoencoder's look at a portrait is less.
_EAR_BYTES = 200 * MB
#: Not PyTorch's to count: the driver's context and the libraries' code. It differs by GPU; this is a large one's.
_CONTEXT_BYTES = 600 * MB
#: More frames at once gain nothing on a processor; on a GPU gains end near here.
_MOST_CPU, _MOST_CUDA = 4, 64


@dataclass(frozen=True)
class Memory:
    """Bytes on a GPU, whoever holds them."""

    free: int
    total: int


def look(device: torch.device) -> Memory:
    """What NVML says of the GPU that PyTorch calls `device`; the CUDA driver's word where NVML does not know it (MIG)."""
    return by_nvml(f"GPU-{torch.cuda.get_device_properties(device).uuid}") or Memory(*torch.cuda.mem_get_info(device))


def by_nvml(uuid: str) -> Memory | None:
    """What NVML says of a GPU; None where there is no driver, or no such GPU."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
            return Memory(int(memory.free), int(memory.total))
        finally:
            pynvml.nvmlShutdown()
    return None


def fitting_batch(dtype: torch.dtype, weight_numbers: int, budget: int, memory: Memory | None) -> int:
    """How many frames at once; a power of two.

    Args:
        dtype: of weights and activations.
        weight_numbers: parameters of UNet and autoencoder.
        budget: bytes that may be taken of the GPU, the driver's context included.
        memory: of the GPU, before the networks are there; None on a processor.
    """
    if memory is None:
        return _MOST_CPU
    room = min(memory.free, budget) - _CONTEXT_BYTES - _EAR_BYTES - weight_numbers * dtype.itemsize
    frames = max(1, room // (FRAME_NUMBERS * dtype.itemsize))
    return int(min(_MOST_CUDA, 2 ** (frames.bit_length() - 1)))


def keep_within(place: Place, budget: int) -> None:
    """Let PyTorch take no more than this of the GPU, beside what this process holds already.

    What would go beyond it fails as out of memory: libraries then work with less, and after them the batch is halved.
    """
    if place.device.type == "cuda":
        total = look(place.device).total
        allowed = torch.cuda.memory_reserved(place.device) + budget - _CONTEXT_BYTES
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), place.device)
        torch.cuda.reset_peak_memory_stats(place.device)


def report(place: Place) -> dict[str, int]:
    """MB that PyTorch holds now and held at most, and those free on the GPU; empty on a processor."""
    if place.device.type != "cuda":
        return {}
    memory = look(place.device)
    return {
        "vram_mb": torch.cuda.memory_reserved(place.device) // MB,
        "vram_peak_mb": torch.cuda.max_memory_reserved(place.device) // MB,
        "vram_free_mb": memory.free // MB,
        "vram_total_mb": memory.total // MB,
    }
