"""What an error of PyTorch's means: memory, a GPU that cannot be used, one that failed, or a fault of the program."""

from __future__ import annotations

import pytest
import torch

from daemon.errors import MachineError
from stages.gpu.errors import Meaning, device_errors, meaning_of

MESSAGES: list[tuple[Meaning, str]] = [
    ("memory", "CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 9.63 GiB"),
    ("memory", "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ("memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ("memory", "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    ("memory", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ("memory", "FIND was unable to find an engine to execute this computation"),
    ("unusable", "CUDA error: system not yet initialized"),
    ("unusable", "CUDA error: no kernel image is available for execution on the device"),
    ("unusable", "The NVIDIA driver on your system is too old (found version 12040)."),
    ("unusable", "No CUDA GPUs are available"),
    ("unusable", "CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling `cublasGemmEx`"),
    ("lost", "CUDA error: unspecified launch failure"),
    ("lost", "CUDA error: an illegal memory access was encountered"),
    ("lost", "CUDA error: uncorrectable ECC error encountered"),
    ("lost", "CUDA error: all CUDA-capable devices are busy or unavailable"),
    ("lost", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ("fault", "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    ("fault", "CUDA graphs must be captured on a non-default stream."),
    ("fault", "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
]


@pytest.mark.parametrize(("meaning", "message"), MESSAGES)
def test_the_words_of_an_error_tell_what_it_means(meaning: Meaning, message: str) -> None:
    assert meaning_of(RuntimeError(message)) == meaning


@pytest.mark.parametrize(
    ("number", "meaning"),
    [(2, "memory"), (35, "unusable"), (209, "unusable"), (802, "unusable"), (700, "lost"), (999, "lost"), (1, "fault")],
)
def test_the_number_of_a_cuda_error_tells_what_it_means_in_any_words(number: int, meaning: Meaning) -> None:
    error = torch.AcceleratorError("CUDA error: words of a later release")
    error.error_code = number  # type: ignore[attr-defined]
    assert meaning_of(error) == meaning


def test_a_gpu_that_cannot_be_used_sends_to_the_doctor_and_is_not_called_lost() -> None:
    with (
        pytest.raises(MachineError, match="no kernel image") as error,
        device_errors("full", "wait", without_gpu="drop a picture"),
    ):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nMore lines")
    assert error.value.code == "gpu-unusable"
    # And the hint names what its own kind of job can do, and not another one
    assert "avatar doctor" in error.value.hint
    assert error.value.hint.endswith("; until then, drop a picture.")
    assert "More lines" not in error.value.message
