"""Tries whether CUDA can be used, by launching a kernel, and says what does not fit. Used by `auto` and by `avatar doctor`."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import pynvml
import torch

from stages.gpu.errors import CUDA_ERRORS, meaning_of

#: Least free memory for any network of ours, bytes: MuseTalk's weights in half precision and one frame.
LEAST_FREE = 3_000_000_000
_MB = 1_000_000

_INSTALL_GPU_BUILD = "Install PyTorch's build for GPUs: see docs/operations.md."
_INSTALL_FITTING = "Install a driver and a PyTorch that fit this GPU: see docs/operations.md."
_END_OTHERS = "End other programs that use the GPU; `nvidia-smi` lists them."
_SEE_DRIVER = "See `nvidia-smi` and `dmesg`."
_SEE_NODES = "Look at /dev/nvidia*, CUDA_VISIBLE_DEVICES and `dmesg`; a restart may help after a driver update."
_START_FABRIC = "Start nvidia-fabricmanager, in the driver's version: GPUs with NVSwitch wait for it."
#: What PyTorch says before the words of CUDA's error, and what it says where nothing is to be opened. Source: device_count_impl
#: and device_count_ensure_non_zero in c10/cuda/CUDAFunctions.cpp.
_BEFORE_ERROR = "might have already set an error? "
_NOTHING_THERE = ("No CUDA GPUs are available", "Found no NVIDIA driver")


#: "absent": there is no GPU, or PyTorch is a build without CUDA. "busy": other programs hold its memory now.
GpuState = Literal["usable", "absent", "busy", "unusable"]


@dataclass(frozen=True)
class CudaProbe:
    """What a trial of the GPU gave.

    Attributes:
        state: whether PyTorch can compute on it.
        words: what was found, in one sentence without its end mark.
        remedy: what to do; empty if it is usable.
    """

    state: GpuState
    words: str
    remedy: str = ""


def look_at_cuda(device: torch.device | None = None, least_free: int = LEAST_FREE) -> CudaProbe:
    """Tell what is known of a GPU without computing on it: build, driver, architecture, size. Arguments as for `probe_cuda`.

    It opens no context there, which would hold 0.3 to 0.6 GB of the GPU's memory until the process ends.
    """
    if not torch.backends.cuda.is_built():
        return CudaProbe("absent", "the installed PyTorch has no CUDA", _INSTALL_GPU_BUILD)
    try:
        if not torch.cuda.is_available():
            return _no_device()
        device = device or torch.device("cuda", torch.cuda.current_device())
        properties = torch.cuda.get_device_properties(device)
    except CUDA_ERRORS as exc:
        return _failed(exc)
    if why := _lacking_architecture(properties.major, properties.minor):
        return CudaProbe("unusable", f"{properties.name} {why}", _INSTALL_FITTING)
    total = properties.total_memory
    if total < least_free:
        words = f"{properties.name} has {total // _MB:,} MB of memory, and {least_free // _MB:,} are needed"
        return CudaProbe("unusable", words, "Use a larger GPU, or the processor.")
    return CudaProbe("usable", f"{properties.name}, {total // _MB:,} MB")


def look_at_all() -> CudaProbe:
    """Return what `look_at_cuda` tells of the first GPU that can be used, of those that this process sees; else of the first."""
    looked = [look_at_cuda()]
    if looked[0].state == "unusable":
        looked += [look_at_cuda(torch.device("cuda", number)) for number in range(1, torch.cuda.device_count())]
    return next((found for found in looked if found.state == "usable"), looked[0])


def probe_cuda(device: torch.device | None = None, least_free: int = LEAST_FREE) -> CudaProbe:
    """Try a GPU: build, driver, architecture, memory, and a kernel with a known result.

    Args:
        device: the GPU; None for the one that PyTorch would use.
        least_free: memory that is needed, bytes.
    """
    if (looked := look_at_cuda(device, least_free)).state != "usable":
        return looked
    try:
        device = device or torch.device("cuda", torch.cuda.current_device())
        name = torch.cuda.get_device_name(device)
        free, total = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device)  # what this process holds, such as a loaded network, it can use
        if free < least_free:
            words = f"{name} has {free // _MB:,} of {total // _MB:,} MB free, and {least_free // _MB:,} are needed"
            return CudaProbe("busy", words, _END_OTHERS)
        ones = torch.ones(256, device=device)
        if float((ones + ones).sum().cpu()) != 512.0:
            return CudaProbe("unusable", f"{name} computes wrong results", _SEE_DRIVER)
    except CUDA_ERRORS as exc:
        return _failed(exc)
    return CudaProbe("usable", f"{name}, {free // _MB:,} of {total // _MB:,} MB free")


def _failed(error: Exception) -> CudaProbe:
    """Say what an error in a trial means."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    words = f"a trial on the GPU failed: {first}"
    meaning = meaning_of(error)
    if meaning == "memory":
        return CudaProbe("busy", words, _END_OTHERS)
    return CudaProbe("unusable", words, _INSTALL_FITTING if meaning == "unusable" else _SEE_DRIVER)


def _lacking_architecture(major: int, minor: int) -> str:
    """Say that this build has no kernels for a compute capability; empty if it has, or says nothing about its kernels.

    Kernels of `sm_XY` run on GPUs of the same major capability and of Y or above; `compute_XY` is translated for any later one.
    """
    listed = torch.cuda.get_arch_list()
    ours = 10 * major + minor
    for name in listed:
        kind, _, number = name.partition("_")
        number = number.rstrip("af")  # sm_90a is for that GPU alone
        if not number.isdigit():
            continue
        built = int(number)
        if kind == "compute" and built <= ours:
            return ""
        if kind == "sm" and built // 10 == major and built <= ours:
            return ""
    if not listed:
        return ""
    return f"has compute capability {major}.{minor}, and the installed PyTorch has kernels for {', '.join(listed)}"


def _no_device() -> CudaProbe:
    """Say why there is no CUDA device: no GPU, no driver, one that is too old for this PyTorch, or one that does not open it."""
    needed, refusal = str(torch.version.cuda or ""), _refusal()
    remedy = _START_FABRIC if "system not yet initialized" in refusal else _SEE_NODES
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            count, offered = pynvml.nvmlDeviceGetCount(), int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
            version = f"{offered // 1000}.{offered % 1000 // 10}"
            if count and needed and offered // 1000 < int(needed.partition(".")[0]):
                return CudaProbe(
                    "unusable",
                    f"the driver {pynvml.nvmlSystemGetDriverVersion()} knows CUDA {version}, and PyTorch needs {needed}",
                    f"Install a newer driver, or PyTorch's build for CUDA {offered // 1000}: see docs/operations.md.",
                )
            if count:
                return CudaProbe("unusable", f"the driver knows a GPU that CUDA cannot open: {refusal}", remedy)
        finally:
            pynvml.nvmlShutdown()
    if not refusal.startswith(_NOTHING_THERE):  # NVML is not here, or knows no GPU
        return CudaProbe("unusable", f"CUDA cannot be opened: {refusal}", remedy)
    return CudaProbe("absent", "there is no NVIDIA GPU, or its driver is not loaded", _SEE_DRIVER)


def _refusal() -> str:
    """Return the words with which CUDA refuses to start; `torch.cuda.is_available` only warns of them."""
    try:
        torch.cuda.init()
    except CUDA_ERRORS as exc:
        return str(exc).strip().partition("\n")[0].rpartition(_BEFORE_ERROR)[2][:200].rstrip(".")
    return "it says not why"


def main() -> None:
    """Print the result as a line of JSON, for `avatar doctor`, which tries it in another process: a driver may crash."""
    print(json.dumps(asdict(probe_cuda())))


if __name__ == "__main__":
    main()
