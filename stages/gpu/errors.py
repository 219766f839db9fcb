"""Translates errors of PyTorch on a GPU: memory that does not suffice, a GPU that cannot be used, and one that failed.

Any other error is a fault of the program and stays as it is. Source of the numbers: `cudaError_t` of the CUDA runtime.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from daemon.errors import MachineError

Meaning = Literal["memory", "unusable", "lost", "fault"]
#: What PyTorch raises on a GPU; the second stands for an error while CUDA is opened, repeats its words, and is no RuntimeError.
CUDA_ERRORS = (RuntimeError, torch.cuda.DeferredCudaCallError)

_MEMORY = {2}  # cudaErrorMemoryAllocation
#: The GPU, its driver and this build of PyTorch do not fit together: every further attempt fails in the same way.
_UNUSABLE = {
    3,  # cudaErrorInitializationError
    34,  # cudaErrorStubLibrary: a library for building stands in the driver's place
    35,  # cudaErrorInsufficientDriver
    36,  # cudaErrorCallRequiresNewerDriver
    98,  # cudaErrorInvalidDeviceFunction
    100,  # cudaErrorNoDevice
    101,  # cudaErrorInvalidDevice
    209,  # cudaErrorNoKernelImageForDevice
    218,  # cudaErrorInvalidPtx
    221,  # cudaErrorJitCompilerNotFound
    222,  # cudaErrorUnsupportedPtxVersion
    304,  # cudaErrorOperatingSystem
    802,  # cudaErrorSystemNotReady: GPUs with NVSwitch wait for the fabric manager
    803,  # cudaErrorSystemDriverMismatch
    804,  # cudaErrorCompatNotSupportedOnDevice
}
#: The GPU failed in work that is right, or is held by somebody: another process may work again.
_LOST = {
    46,  # cudaErrorDevicesUnavailable: a process holds it alone
    214,  # cudaErrorECCUncorrectable
    216,  # cudaErrorDeviceAlreadyInUse
    220,  # cudaErrorNvlinkUncorrectable
    226,  # cudaErrorContained
    700,  # cudaErrorIllegalAddress
    702,  # cudaErrorLaunchTimeout
    709,  # cudaErrorContextIsDestroyed
    714,  # cudaErrorHardwareStackError
    715,  # cudaErrorIllegalInstruction
    716,  # cudaErrorMisalignedAddress
    717,  # cudaErrorInvalidAddressSpace
    718,  # cudaErrorInvalidPc
    719,  # cudaErrorLaunchFailure
    999,  # cudaErrorUnknown
}
#: The same where PyTorch or one of its libraries gives words instead of a number.
_WORDS: tuple[tuple[Meaning, tuple[str, ...]], ...] = (
    (
        "memory",
        (
            "out of memory",
            "allocate memory",
            "ALLOC_FAILED",
            "ALLOCATION_FAILED",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
            "STATUS_NOT_INITIALIZED",  # cuBLAS and cuDNN, whose handles take memory of the driver's
            # No way to compute a convolution found memory: try_plans in aten/src/ATen/native/cudnn/Conv_v8.cpp keeps the error of
            # each to itself. If the GPU was lost, the next call says so.
            "unable to find an engine",
        ),
    ),
    (
        "unusable",
        (
            "no kernel image is available",
            "invalid device function",
            "driver version is insufficient",
            "NVIDIA driver on your system is too old",
            "no CUDA-capable device",
            "No CUDA GPUs are available",
            "unsupported toolchain",
            "forward compatibility was attempted",
            "ARCH_MISMATCH",
            "system not yet initialized",
            "unsupported display driver",
            "OS call failed",
            "CUDA driver initialization failed",
            "CUDA driver is a stub library",
            "PTX JIT compiler library not found",
        ),
    ),
    (
        "lost",
        (
            "unspecified launch failure",
            "illegal memory access",
            "illegal instruction",
            "misaligned address",
            "launch timed out",
            "uncorrectable ECC",
            "hardware stack error",
            "busy or unavailable",
            "device-side assert",
            "CUDA error: unknown error",
            "EXECUTION_FAILED",
            "CUDNN_STATUS_INTERNAL_ERROR",
            "CUBLAS_STATUS_INTERNAL_ERROR",
            "MAPPING_ERROR",
        ),
    ),
)


def meaning_of(error: Exception) -> Meaning:
    """Tell what an error of PyTorch's means. "fault": it is none of the GPU's."""
    if isinstance(error, torch.OutOfMemoryError):
        return "memory"
    number = getattr(error, "error_code", None)
    for meaning, numbers in (("memory", _MEMORY), ("unusable", _UNUSABLE), ("lost", _LOST)):
        if number in numbers:
            return meaning  # type: ignore[return-value]
    words = str(error)
    return next((meaning for meaning, signs in _WORDS if any(sign in words for sign in signs)), "fault")


@contextlib.contextmanager
def device_errors(
    memory_message: str, memory_hint: str, *, without_gpu: str = "", on_gpu: bool = True
) -> Iterator[None]:
    """Translate the errors that the block raises.

    Args:
        memory_message: what to say where memory does not suffice.
        memory_hint: what to do then.
        without_gpu: what does the same kind of work until the GPU can be used, as the end of a sentence; empty for nothing.
        on_gpu: False where the processor computes.

    Raises:
        MachineError: `gpu-memory` (on the processor `out-of-memory`), `gpu-unusable`, `gpu-lost`.
    """
    try:
        yield
    except CUDA_ERRORS as exc:
        meaning, words = meaning_of(exc), str(exc).strip().splitlines() or [""]
        first = words[0][:200].rstrip(".")
        if meaning == "memory":
            raise MachineError("gpu-memory" if on_gpu else "out-of-memory", memory_message, memory_hint) from exc
        if meaning == "unusable":
            raise MachineError(
                "gpu-unusable",
                f"PyTorch cannot use this GPU: {first}.",
                "`avatar doctor` names what does not fit" + (f"; until then, {without_gpu}." if without_gpu else "."),
            ) from exc
        if meaning == "lost":
            raise MachineError(
                "gpu-lost", f"The GPU stopped working: {first}.", "See `nvidia-smi` and `dmesg`."
            ) from exc
        raise
