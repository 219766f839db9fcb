"""Chooses where a job's frames are drawn: on the GPU if the operator wants it and it has the memory, else on the processor."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from daemon.config import Settings
from stages.encode.compose import Composer

#: Bytes for each pixel while a frame is drawn, beside the planes of `FigurePlanes`: the figure at rest and as it is painted, two
#: frames (2 × 2.5), the background, and what is computed meanwhile. A test counts them.
_WORK_BYTES = 8 + 5 + 2 + 60
_MB = 1_000_000


@dataclass(frozen=True)
class SamplerChoice:
    """Where frames are drawn.

    Attributes:
        device: torch's name of the GPU; None for the processor.
        why: what decided, for the status; empty where the settings name the processor.
    """

    device: str | None
    why: str


def choose_sampler(settings: Settings, composer: Composer) -> SamplerChoice:
    """Choose where the frames of a composer are drawn."""
    if settings.stages.encode.sampler != "cuda":
        return SamplerChoice(None, "")
    if composer.cells is None:
        return SamplerChoice(None, "cpu: only lids and mouths move")
    if settings.lanes.gpu.devices == "none":
        return SamplerChoice(None, "cpu: `lanes.gpu.devices` is none")
    if importlib.util.find_spec("torch") is None:
        return SamplerChoice(None, "cpu: PyTorch is not installed")
    import torch

    from stages.gpu.memory import read_gpu_memory
    from stages.gpu.probe import probe_cuda
    from stages.musetalk.gpu_memory import choose_budget

    found = probe_cuda()
    if found.state != "usable":
        return SamplerChoice(None, f"cpu: {found.words}")
    device = torch.device("cuda", torch.cuda.current_device())
    memory = read_gpu_memory(device)
    free = memory.free + torch.cuda.memory_reserved(device)
    # The networks of the gpu lane look for free memory when they are loaded, and what is drawn meanwhile does not give way.
    left = settings.stages.lipsync.musetalk.memory_mb * _MB or choose_budget(memory)
    need = drawing_bytes(composer)
    if free < need + left:
        return SamplerChoice(
            None,
            f"cpu: the GPU has {free // _MB:,} MB free; drawing needs {need // _MB:,}, and {left // _MB:,} are left for networks",
        )
    return SamplerChoice(str(device), f"{device} ({torch.cuda.get_device_name(device)})")


def drawing_bytes(composer: Composer) -> int:
    """Return the most GPU memory that drawing takes, beside the CUDA context, in bytes."""
    return composer.planes.nbytes + _WORK_BYTES * composer.width * composer.height
