"""The driver's functions that torch's Python calls, for one stand-in GPU."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pynvml
import torch

from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import GPU, Card, CardMode, Recording, cuda_error

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
    """One GPU and its driver.

    Attributes:
        card: the GPU's work.
        properties: what the GPU tells about itself.
        archs: GPU architectures that this build of torch has kernels for.
        count: number of GPUs that the driver finds.
        nvml_total: memory that NVML tells, bytes; with MIG it is the whole GPU's and not the slice's.
        switches: the process-wide switches that were set while the driver was installed.
        current: number of the current stream; 0 is the default one.
        pools: memory pools of recordings, with the number of their users.
        recorded_into: those that the allocator takes for pools of recordings that go on.
    """

    def __init__(self, memory: CardMemory, properties: Properties | None = None) -> None:
        self.card = Card(memory)
        self.properties = properties or Properties(total_memory=memory.total)
        self.archs = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120"
        self.count = 1
        self.nvml_total = memory.total
        self.current = 0
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
            raise RuntimeError("No CUDA GPUs are available")
        self.card.check()

    def get_properties(self, device: int) -> Properties:
        """Return the properties of the only GPU."""
        return self.properties

    def exchange_device(self, device: int | None) -> int:
        """Make another device the current one; returns the one before. There is only 0."""
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
        return self.card.memory.free, self.card.memory.total

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
        return self.current, 0, 1

    def set_stream(self, stream_id: int, device_index: int, device_type: int) -> None:
        """Make a stream the current one."""
        self.current = stream_id

    def synchronize(self) -> None:
        """Wait for all work on the GPU."""
        self.card.wait()


def _stream_base(driver: Driver) -> type:
    class StreamBase:
        """torch/csrc/cuda/Stream.cpp."""

        stream_id: int
        device_index = 0
        device_type = 1

        def __new__(
            cls,
            priority: int = 0,
            stream_id: int | None = None,
            device_index: int = 0,
            device_type: int = 1,
            stream_ptr: int = 0,
        ) -> Any:
            made = super().__new__(cls)
            made.stream_id = driver.new_stream() if stream_id is None else stream_id
            return made

        @property
        def device(self) -> torch.device:
            return GPU

        @property
        def cuda_stream(self) -> int:
            return self.stream_id

        def __eq__(self, other: object) -> bool:
            return isinstance(other, StreamBase) and other.stream_id == self.stream_id

        __hash__ = None  # type: ignore[assignment]

        def query(self) -> bool:
            driver.card.check()
            return True

        def synchronize(self) -> None:
            driver.card.wait()

    return StreamBase


def _event_base(driver: Driver) -> type:
    class EventBase:
        """torch/csrc/cuda/Event.cpp."""

        def __new__(
            cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
        ) -> Any:
            made = super().__new__(cls)
            made.blocking, made.recorded = blocking, False
            return made

        blocking: bool
        recorded: bool
        cuda_event = 1

        def record(self, stream: Any) -> None:
            driver.card.check()
            self.recorded = True

        def wait(self, stream: Any) -> None:
            driver.card.check()

        def query(self) -> bool:
            driver.card.wait()
            return True

        def synchronize(self) -> None:
            driver.card.wait()
            if self.blocking:
                driver.blocking_events += 1
            else:
                # cudaEventSynchronize of the CUDA runtime: without cudaEventBlockingSync the processor spins.
                driver.spinning_waits += 1

        def elapsed_time(self, end: Any) -> float:
            return 0.0

    return EventBase


def _graph_base(driver: Driver) -> type:
    class GraphBase:
        """aten/src/ATen/cuda/CUDAGraph.cpp."""

        def __new__(cls, keep_graph: bool = False) -> Any:
            made = super().__new__(cls)
            made.recording, made.ended = None, []
            # CUDAGraph::~CUDAGraph calls reset, which releases the pool of a recording that was ended, and no other.
            weakref.finalize(made, _release_all, driver, made.ended)
            return made

        recording: Recording | None
        ended: list[tuple[int, int]]

        def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
            driver.card.check()
            if driver.current == 0:
                # CUDAGraph::capture_begin
                raise RuntimeError(
                    "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to "
                    "replay them on the default stream.)"
                )
            self.into = pool or driver.new_pool()
            driver.begin_pool(self.into)
            self.recording = driver.card.recording = Recording()

        def capture_end(self) -> None:
            if driver.card.recording is None:
                # cudaErrorStreamCaptureInvalidated, which cudaStreamEndCapture returns after a call that may not be recorded.
                # CUDAGraph::capture_end checks it before endAllocateToPool; pull request 180395 ends the pool, too.
                raise cuda_error(901)
            driver.card.recording = None
            driver.end_pool(0, self.into)
            self.ended.append(self.into)

        def replay(self) -> None:
            driver.card.check()
            if self.recording is None:
                # CUDAGraph::replay
                raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
            for kernel in self.recording.kernels:
                kernel()

        def reset(self) -> None:
            self.recording = None
            _release_all(driver, self.ended)

        def pool(self) -> tuple[int, int]:
            if not self.ended:
                # CUDAGraph::pool
                raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
            return self.into

    return GraphBase


def _release_all(driver: Driver, pools: list[tuple[int, int]]) -> None:
    while pools:
        driver.release_pool(0, pools.pop())


def _module_anew(name: str) -> types.ModuleType:
    """Run a module of torch's again, with the base classes that `torch._C` has now; the one in use stays as it is."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def install(driver: Driver) -> Iterator[Driver]:
    """Make torch and pynvml see the driver's GPU until the block ends; this build of torch must be one without CUDA."""
    assert not torch.backends.cuda.is_built()
    # Dispatch modes import it when they are first used, and it asks then what this build of torch has.
    importlib.import_module("torch._dynamo")
    functions = {
        "_cuda_getDeviceCount": driver.device_count,
        "_cuda_init": driver.init,
        "_cuda_getDevice": lambda: 0,
        "_cuda_setDevice": lambda device: None,
        "_cuda_getArchFlags": lambda: driver.archs,
        "_cuda_setMemoryFraction": driver.set_fraction,
        "_cuda_getMemoryFraction": driver.get_fraction,
        "_cuda_memoryStats": driver.memory_stats,
        "_cuda_resetPeakMemoryStats": driver.reset_peak,
        "_cuda_emptyCache": driver.empty_cache,
        "_cuda_getCurrentStream": driver.current_stream,
        "_cuda_getDefaultStream": lambda device: (0, 0, 1),
        "_cuda_setStream": driver.set_stream,
        "_cuda_synchronize": driver.synchronize,
        "_cuda_isCurrentStreamCapturing": lambda: driver.card.recording is not None,
        "_cuda_getDriverVersion": lambda: 13000,
        "_CudaStreamBase": _stream_base(driver),
        "_CudaEventBase": _event_base(driver),
        "_CUDAGraph": _graph_base(driver),
        "_graph_pool_handle": driver.new_pool,
        "_cuda_endAllocateToPool": driver.end_pool,
        "_cuda_releasePool": driver.release_pool,
        "_host_emptyCache": lambda: None,
        "_cuda_isInBadFork": False,
    }

    class Runtime:
        """`torch.cuda.cudart()`."""

        class cudaError:  # noqa: N801 (its name in torch)
            success = 0

        @staticmethod
        def cudaMemGetInfo(device: int) -> tuple[int, int]:
            return driver.mem_get_info(device)

    with contextlib.ExitStack() as stack:

        def set_in(module: Any, **values: Any) -> None:
            for name, value in values.items():
                stack.enter_context(patch.object(module, name, value, create=True))

        set_in(torch._C, **functions)
        set_in(
            torch.cuda,
            _cudart=Runtime,
            _initialized=False,
            _queued_calls=[],
            _lazy_seed_tracker=type(torch.cuda._lazy_seed_tracker)(),
            default_generators=(torch.Generator(),),
            _cached_device_count=None,
            _tls=threading.local(),
            _get_device_properties=driver.get_properties,
            _exchange_device=driver.exchange_device,
            _maybe_exchange_device=driver.exchange_device,
        )
        set_in(torch.backends.cuda, is_built=lambda: True)
        streams = _module_anew("torch.cuda.streams")
        set_in(torch.cuda, Stream=streams.Stream, Event=streams.Event)
        stack.enter_context(patch.dict(sys.modules, {"torch.cuda.streams": streams}))
        graphs = _module_anew("torch.cuda.graphs")
        set_in(torch.cuda, CUDAGraph=graphs.CUDAGraph, graph=graphs.graph, graph_pool_handle=graphs.graph_pool_handle)
        set_in(
            pynvml,
            nvmlInit=lambda: None,
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=lambda: driver.count,
            nvmlDeviceGetHandleByUUID=lambda uuid: _nvml_handle(driver, uuid),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetName=lambda handle: driver.properties.name,
            nvmlDeviceGetMemoryInfo=lambda handle: _NvmlMemory(driver),
            nvmlSystemGetDriverVersion=lambda: "580.95.05",
            nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
        )
        # Otherwise `Module.to` puts the wrapper into the old parameter's C++ part, which has no `numbers`.
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, False)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(CardMode(driver.card))
        yield driver


class _NvmlMemory:
    def __init__(self, driver: Driver) -> None:
        memory = driver.card.memory
        self.total = driver.nvml_total
        self.used = memory.reserved + memory.others
        self.free = self.total - self.used


def _nvml_handle(driver: Driver, uuid: str) -> str:
    if uuid != f"GPU-{driver.properties.uuid}":
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    return uuid
