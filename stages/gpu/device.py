"""Names the device that PyTorch computes on."""

from __future__ import annotations

import torch

from stages.gpu.errors import device_errors


def current_device() -> torch.device:
    """Return the GPU that PyTorch computes on, or the processor where there is none. A GPU has its number, without which torch's
    functions for memory take none.

    Raises:
        MachineError: `gpu-memory`, `gpu-unusable`, `gpu-lost`: the GPU cannot be opened.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    with device_errors("There is not enough memory to open the GPU.", "End other programs that use it."):
        return torch.device("cuda", torch.cuda.current_device())


def empty_cache() -> None:
    """Give PyTorch's unused blocks of memory back to the driver.

    Raises:
        MachineError: `gpu-lost`.
    """
    with device_errors("There is not enough memory on the GPU.", "End other programs that use it."):
        torch.cuda.empty_cache()
