"""Tries whether CUDA can be used, by launching a kernel, and says what does not fit. Used by `auto` and by `avatar doctor`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml
import torch

from stages.gpu.errors import meaning_of

#: Least free memory for any network of ours, bytes: MuseTalk's weights in half precision and one frame.
LEAST_FREE = 3_000_000_000
_MB = 1_000_000


@dataclass(frozen=True)
class CudaProbe:
    """What a trial of the GPU gave.

    Attributes:
        usable: whether PyTorch can compute on it.
        words: what was found, in one sentence without its end mark.
        remedy: what to do; empty if it is usable.
    """

    usable: bool
    words: str
    remedy: str = ""


def probe_cuda() -> CudaProbe:
    """Try the GPU that PyTorch would use: build, driver, architecture, free memory, and a kernel with a known result."""
    if not torch.backends.cuda.is_built():
        return CudaProbe(
            False,
            "the installed PyTorch has no CUDA",
            "Install the GPU build: see docs/engines.md, “PyTorch for GPUs”.",
        )
    try:
        if not torch.cuda.is_available():
            return _no_device()
        device = torch.device("cuda", torch.cuda.current_device())
        properties = torch.cuda.get_device_properties(device)
        if why := _lacking_architecture(properties.major, properties.minor):
            return CudaProbe(False, f"{properties.name} {why}", "Install a PyTorch that is built for this GPU.")
        free, total = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device)  # what this process holds, such as a loaded network, it can use
        if free < LEAST_FREE:
            return CudaProbe(
                False,
                f"{properties.name} has {free // _MB:,} of {total // _MB:,} MB free, and {LEAST_FREE // _MB:,} are needed",
                "End other programs that use the GPU; `nvidia-smi` lists them.",
            )
        ones = torch.ones(256, device=device)
        if float((ones + ones).sum().cpu()) != 512.0:
            return CudaProbe(False, f"{properties.name} computes wrong results", "See `nvidia-smi` and `dmesg`.")
    except RuntimeError as exc:
        first = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200].rstrip(".")
        remedy = {
            "memory": "End other programs that use the GPU; `nvidia-smi` lists them.",
            "unusable": "Install a driver and a PyTorch that fit this GPU: see docs/engines.md.",
        }.get(meaning_of(exc), "See `nvidia-smi` and `dmesg`.")
        return CudaProbe(False, f"a trial on the GPU failed: {first}", remedy)
    return CudaProbe(True, f"{properties.name}, {free // _MB:,} of {total // _MB:,} MB free")


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
    """Say why there is no CUDA device: no GPU, no driver, or one that is too old for this PyTorch."""
    needed = str(torch.version.cuda or "")
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            count, offered = pynvml.nvmlDeviceGetCount(), int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
            version = f"{offered // 1000}.{offered % 1000 // 10}"
            if count and needed and offered // 1000 < int(needed.partition(".")[0]):
                return CudaProbe(
                    False,
                    f"the driver {pynvml.nvmlSystemGetDriverVersion()} knows CUDA {version}, and PyTorch needs {needed}",
                    "Install a newer driver.",
                )
            if count:
                return CudaProbe(
                    False,
                    "the driver knows a GPU that CUDA cannot open",
                    "Look at /dev/nvidia*, CUDA_VISIBLE_DEVICES and `dmesg`; a restart may help after a driver update.",
                )
        finally:
            pynvml.nvmlShutdown()
    return CudaProbe(False, "there is no NVIDIA GPU, or its driver is not loaded", "See `nvidia-smi`.")
