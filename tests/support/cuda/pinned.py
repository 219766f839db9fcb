"""Memory of the processor that the stand-in for a GPU reads and writes by itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import Tensor


class PinnedMemory:
    """Knows which memory of the processor is pinned. `is_lost`: whether the GPU answers every call with an error.

    Attributes:
        aborts: how often memory was freed that a GPU which is lost had copied from or to.
    """

    def __init__(self, is_lost: Callable[[], bool]) -> None:
        self._is_lost, self.aborts = is_lost, 0
        #: By storage, whether the GPU has copied from or to it while the host went on.
        self._used: dict[int, bool] = {}

    def add(self, storage: torch.UntypedStorage) -> None:
        """Know memory as pinned until it is freed."""
        self._used[storage._cdata] = False
        weakref.finalize(storage, self._free, storage._cdata)

    def use(self, tensor: Tensor) -> bool:
        """Note that the GPU copies from or to a tensor while the host goes on. Returns whether it can."""
        key = tensor.untyped_storage()._cdata
        if key not in self._used:
            return False
        self._used[key] = True
        return True

    def _free(self, key: int) -> None:
        if self._used.pop(key) and self._is_lost():
            # aten/src/ATen/core/CachingHostAllocator.h, free: records an event on each stream that has used the memory, so that
            # it is not taken again too early. The error leaves a destructor, so the C++ runtime aborts the process (SIGABRT).
            self.aborts += 1
