"""Chooses where a job's frames are drawn: on a GPU if the operator wants it and one has the memory, else on the processor."""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.config import Settings
from stages.encode.compose import Composer

if TYPE_CHECKING:
    import torch

#: Bytes for each pixel while a frame is drawn, beside the planes of `FigurePlanes`: the figure at rest and as it is painted, two
#: frames (2 × 2.5), the background, and what is computed meanwhile. A test counts them.
_WORK_BYTES = 8 + 5 + 2 + 60
_MB = 1_000_000

#: The GPU that this process has drawn on, by torch's name. It has a CUDA context there, which takes about 0.6 GB on each GPU.
_drawn_on = ""


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
    """Choose where the frames of a composer are drawn.

    Of several GPUs a process stays on the one that it has drawn on, and begins on the one with the most free memory: so the
    processes of the cpu lane spread over the GPUs. Where a GPU cannot be used, the next one is tried.
    """
    global _drawn_on
    if settings.stages.encode.sampler != "cuda":
        return SamplerChoice(None, "")
    if composer.cells is None:
        return SamplerChoice(None, "cpu: only lids and mouths move")
    if settings.lanes.gpu.devices == "none":
        return SamplerChoice(None, "cpu: `lanes.gpu.devices` is none")
    if importlib.util.find_spec("torch") is None:
        return SamplerChoice(None, "cpu: PyTorch is not installed")
    from stages.gpu.probe import probe_cuda

    devices = _devices_in_order()
    if not devices:
        return SamplerChoice(None, f"cpu: {probe_cuda().words}")
    refused = []
    for device in devices:
        if not (why := _reason_against(device, settings, composer)):
            import torch

            _drawn_on = str(device)
            # What names no GPU, such as the count of this process's memory, is about this one.
            torch.cuda.set_device(device)
            return SamplerChoice(_drawn_on, f"{device} ({torch.cuda.get_device_name(device)})")
        refused.append(f"{device}: {why}" if len(devices) > 1 else why)
    return SamplerChoice(None, f"cpu: {'; '.join(refused)}")


def _devices_in_order() -> list[torch.device]:
    """List the GPUs that this process sees in the order in which they are tried."""
    import torch

    from stages.gpu.errors import CUDA_ERRORS
    from stages.gpu.memory import free_by_nvml

    if not torch.backends.cuda.is_built():  # `init` would raise an AssertionError
        return []
    # Before CUDA is opened torch counts what NVML lists. CUDA may open fewer: beside a slice of a GPU (MIG) no whole one.
    with contextlib.suppress(*CUDA_ERRORS):  # the trial says why it cannot be opened
        torch.cuda.init()
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if len(devices) == 1:
        return devices

    def rank(device: torch.device) -> tuple[bool, int]:
        if str(device) == _drawn_on:
            return False, 0
        with contextlib.suppress(*CUDA_ERRORS):  # the trial says what is wrong with it
            return True, -free_by_nvml(device)
        return True, 0

    return sorted(devices, key=rank)


def _reason_against(device: torch.device, settings: Settings, composer: Composer) -> str:
    """Say why a GPU cannot draw the frames; empty if it can."""
    import torch

    from stages.gpu.memory import CONTEXT_BYTES, GpuMemory, free_by_nvml, held_by_gpu_lane, read_gpu_memory
    from stages.gpu.probe import look_at_cuda, probe_cuda
    from stages.musetalk.gpu_memory import choose_budget

    need = drawing_bytes(composer)

    def too_little(memory: GpuMemory) -> str:
        # The networks of the gpu lane look for free memory when they are loaded, and what is drawn meanwhile does not give way.
        # What that lane holds already is theirs.
        left = settings.stages.lipsync.musetalk.memory_mb * _MB or choose_budget(memory)
        left = max(left - held_by_gpu_lane(device), 0)
        if memory.free >= need + left:
            return ""
        words = f"the GPU has {memory.free // _MB:,} MB free; drawing needs {need // _MB:,}"
        return f"{words}, and {left // _MB:,} are left for networks"

    looked = look_at_cuda(device, least_free=need)
    if looked.state != "usable":
        return looked.words
    # Before the trial, which opens a context there: on a GPU that is too full it would take memory until this process ends.
    if str(device) != _drawn_on and (free := free_by_nvml(device)):
        total = torch.cuda.get_device_properties(device).total_memory
        if why := too_little(GpuMemory(max(free - CONTEXT_BYTES, 0), total)):
            return why
    found = probe_cuda(device, least_free=need)
    if found.state != "usable":
        return found.words
    memory = read_gpu_memory(device)
    return too_little(GpuMemory(memory.free + torch.cuda.memory_reserved(device), memory.total))


def drawing_bytes(composer: Composer) -> int:
    """Return the most GPU memory that drawing takes, beside the CUDA context, in bytes."""
    return composer.planes.nbytes + _WORK_BYTES * composer.width * composer.height
