"""Plans how SDXL fits into the memory of a GPU: whole, one network at a time, or one layer at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.errors import MachineError
from stages.gpu.memory import CONTEXT_BYTES, GpuMemory

_GB = 10**9
#: Beside the weights, for pictures of a megapixel: what denoising takes, and what decoding takes, which is in float32, at once
#: or in tiles of 512 × 512 px. Estimated from the shapes of the largest maps, and not measured on a GPU. bytes
_DECODE_WHOLE, _DENOISE_OR_TILES = 6 * _GB, 5 * _GB // 2
#: Weights on the GPU where they are moved layer by layer. bytes
_LAYERS = _GB

Offload = Literal["none", "networks", "layers"]


@dataclass(frozen=True)
class MemoryPlan:
    """How the model uses a GPU.

    Attributes:
        offload: what is on the GPU at a time: all ("none" waits in main memory), one of the networks, or one layer.
        tiles: whether the picture is decoded in tiles.
    """

    offload: Offload
    tiles: bool


#: On a processor there is one memory.
ON_PROCESSOR = MemoryPlan("none", tiles=False)


def plan_memory(networks: Iterable[int], memory: GpuMemory, budget: int) -> MemoryPlan:
    """Choose the fastest way that fits.

    Args:
        networks: bytes of the weights of each network.
        memory: memory of the GPU before the model is on it.
        budget: maximum number of bytes to use, including the driver's context; 0 for what is free.

    Raises:
        MachineError: `gpu-memory`: not even one layer at a time fits.
    """
    sizes = list(networks)
    room = min(memory.free, budget or memory.free) - CONTEXT_BYTES
    if room >= sum(sizes) + _DECODE_WHOLE:
        return MemoryPlan("none", tiles=False)
    if room >= sum(sizes) + _DENOISE_OR_TILES:
        return MemoryPlan("none", tiles=True)
    if room >= max(sizes) + _DENOISE_OR_TILES:
        return MemoryPlan("networks", tiles=True)
    if room >= _LAYERS + _DENOISE_OR_TILES:
        return MemoryPlan("layers", tiles=True)
    need = (_LAYERS + _DENOISE_OR_TILES + CONTEXT_BYTES) // 10**6
    raise MachineError(
        "gpu-memory",
        f"Generating a portrait needs {need:,} MB of the GPU's memory, and {(room + CONTEXT_BYTES) // 10**6:,} MB may be used.",
        "End other programs that use the GPU, or raise `stages.generate.memory_mb`.",
    )
