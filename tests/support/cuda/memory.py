"""The memory of the stand-in for a GPU."""

from __future__ import annotations

import weakref

import torch


class CardMemory:
    """Counts the bytes of tensors, and refuses an allocation beyond the limit or the free memory.

    Attributes:
        total: all memory, bytes.
        others: memory that other processes hold, bytes.
        fraction: share of `total` that this process may use.
        held: bytes that tensors hold now.
        cached: bytes that were freed, but stay with the process until `empty_cache`.
        peak: most bytes that the process had since the last reset.
    """

    def __init__(self, total: int, others: int = 0) -> None:
        self.total, self.others = total, others
        self.fraction = 1.0
        self.held = self.cached = self.peak = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @property
    def reserved(self) -> int:
        """Bytes that the process has from the driver."""
        return self.held + self.cached

    @property
    def free(self) -> int:
        """Bytes that the driver can still give."""
        return self.total - self.others - self.reserved

    def hold(self, storage: torch.UntypedStorage) -> None:
        """Count a tensor's memory until it is freed.

        Raises:
            OutOfMemoryError: there is no room for it.
        """
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        room = min(self.total * self.fraction - self.reserved, self.free) + self.cached
        if size > room:
            # c10/cuda/CUDACachingAllocator.cpp, DeviceCachingAllocator::malloc, where no block is found and none can be made
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU 0 has a total capacity of "
                f"{self.total / 2**30:.2f} GiB of which {self.free / 2**20:.2f} MiB is free."
            )
        self.cached = max(0, self.cached - size)
        self.held += size
        self.peak = max(self.peak, self.reserved)
        self._known[key] = weakref.ref(storage, lambda _: self._release(key, size))

    def _release(self, key: int, size: int) -> None:
        del self._known[key]
        self.held -= size
        self.cached += size
