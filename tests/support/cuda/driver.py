"""The driver's functions that torch's Python calls, for a stand-in GPU, and for further ones that only tell what they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import Card, cuda_error

#: Of the first GPU; that of each further one ends with its number.
_UUID = "00000000-1111-2222-3333-444444444444"


@dataclass
class Properties:
    """What `cudaGetDeviceProperties` tells."""

    name: str = "NVIDIA GeForce RTX 3080"
    major: int = 8
    minor: int = 6
    total_memory: int = 10 << 30
    multi_processor_count: int = 68
    uuid: str = _UUID


class Driver:
    """A GPU and its driver. It may know more GPUs, which tell their names and memory and pass a trial, and compute nothing else.

    Attributes:
        card: the first GPU's work.
        memories: of each GPU.
        held_by: memory that processes hold on the first GPU, as NVML tells it, bytes by process id.
        lost: numbers of GPUs that fail when they are asked for their memory.
        device: number of the current GPU, which operators that name none would use.
        properties: what the GPU tells about itself.
        archs: GPU architectures that this build of torch has kernels for.
        count: number of GPUs that the driver finds.
        refusal: what torch says where it finds none.
        nvml_total: memory that NVML tells, bytes; with MIG it is the whole GPU's and not the slice's.
        switches: the process-wide switches that were set while the driver was installed.
        pools: memory pools of recordings, with the number of their users.
        recorded_into: those that the allocator takes for pools of recordings that go on.
    """

    def __init__(
        self, memory: CardMemory, properties: Properties | None = None, further: Sequence[CardMemory] = ()
    ) -> None:
        self.card = Card(memory)
        self.memories = [memory, *further]
        self.held_by: dict[int, int] = {}
        self.lost: set[int] = set()
        self.device = 0
        self.properties = properties or Properties(total_memory=memory.total)
        self.archs = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120"
        self.count = len(self.memories)
        self.refusal = "No CUDA GPUs are available"
        self.nvml_total = memory.total
        self.blocking_events = 0
        self.spinning_waits = 0
        self._streams = self._pools = 0
        self.pools: dict[tuple[int, int], int] = {}
        self.recorded_into: set[tuple[int, int]] = set()

    # -- the device

    def device_count(self) -> int:
        """Return the number of GPUs."""
        return self.count

    def init(self) -> None:
        """Initialize CUDA.

        Raises:
            RuntimeError: there is no GPU, or it is lost.
        """
        if not self.count:
            # c10/cuda/CUDAFunctions.cpp, device_count_ensure_non_zero
            raise RuntimeError(self.refusal)
        self.card.check()

    def get_properties(self, device: int) -> Properties:
        """Return the properties of a GPU."""
        if not device:
            return self.properties
        return replace(self.properties, uuid=f"{_UUID[:-1]}{device}", total_memory=self.memories[device].total)

    def set_device(self, device: int) -> None:
        """Make a device the current one."""
        self.device = device
        self.card.contexts.add(device)

    def exchange_device(self, device: int | None) -> int:
        """Make another device the current one; returns the one before. Only 0 computes."""
        return 0

    def set_fraction(self, fraction: float, device: int) -> None:
        """Limit the share of the memory that this process may reserve, 0 to 1."""
        self.card.memory.fraction = fraction

    def get_fraction(self, device: int) -> float:
        """Return that share."""
        return self.card.memory.fraction

    def memory_stats(self, device: int) -> dict[str, Any]:
        """Return the figures of the allocator, in bytes, nested as torch's Python expects."""
        memory = self.card.memory

        def kind(current: int) -> dict[str, dict[str, int]]:
            return {"all": {"current": current, "peak": memory.peak, "allocated": 0, "freed": 0}}

        return {"allocated_bytes": kind(memory.held), "reserved_bytes": kind(memory.reserved)}

    def reset_peak(self, device: int) -> None:
        """Let the peak of the reserved memory start again from now."""
        self.card.memory.peak = self.card.memory.reserved

    def empty_cache(self) -> None:
        """Give back what is reserved and not used.

        Raises:
            RuntimeError: a recording was not ended.
        """
        if self.recorded_into:
            # c10/cuda/CUDACachingAllocator.cpp, DeviceCachingAllocator::synchronize_and_free_events
            raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED, please report a bug to PyTorch.")
        self.card.memory.cached = 0

    def mem_get_info(self, device: int) -> tuple[int, int]:
        """Return free and total memory, bytes."""
        self.card.contexts.add(device)
        if device in self.lost:
            raise cuda_error(719)
        return self.memories[device].free, self.memories[device].total

    # -- memory of recordings

    def new_pool(self) -> tuple[int, int]:
        """Return the name of a pool that nothing uses yet."""
        self._pools += 1
        return 0, self._pools

    def begin_pool(self, pool: tuple[int, int]) -> None:
        """Take memory from a pool from now on: DeviceCachingAllocator::beginAllocateToPool."""
        self.pools[pool] = self.pools.get(pool, 0) + 1
        self.recorded_into.add(pool)

    def end_pool(self, device: int, pool: tuple[int, int]) -> None:
        """Take no more memory from it."""
        if pool not in self.recorded_into:
            # DeviceCachingAllocator::endAllocateToPool
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recorded_into.discard(pool)

    def release_pool(self, device: int, pool: tuple[int, int]) -> None:
        """Note that one of its users needs it no more; its memory can be freed when the last one does not."""
        if pool not in self.pools:
            # DeviceCachingAllocator::releasePool
            raise RuntimeError("pp != nullptr INTERNAL ASSERT FAILED, please report a bug to PyTorch.")
        self.pools[pool] -= 1
        if not self.pools[pool]:
            del self.pools[pool]

    # -- streams

    def new_stream(self) -> int:
        """Return the number of a new stream."""
        self._streams += 1
        return self._streams

    def current_stream(self, device: int) -> tuple[int, int, int]:
        """Return (stream, device index, device type) of the current stream."""
        return self.card.stream, 0, 1

    def set_stream(self, stream_id: int, device_index: int, device_type: int) -> None:
        """Make a stream the current one."""
        self.card.stream = stream_id

    def synchronize(self) -> None:
        """Wait for all work on the GPU."""
        self.card.wait()
