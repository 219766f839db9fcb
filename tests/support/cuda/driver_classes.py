"""The classes of streams, events and recordings that torch's Python derives its own from, for one stand-in GPU."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from tests.support.cuda.driver import Driver
from tests.support.cuda.tensor import GPU, Recording, cuda_error


def stream_base(driver: Driver) -> type:
    """Return the base class of streams."""

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


def event_base(driver: Driver) -> type:
    """Return the base class of events."""

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


def graph_base(driver: Driver) -> type:
    """Return the base class of recordings."""

    class GraphBase:
        """aten/src/ATen/cuda/CUDAGraph.cpp."""

        def __new__(cls, keep_graph: bool = False) -> Any:
            made = super().__new__(cls)
            made.recording, made.ended, made.workspace = None, [], None
            # CUDAGraph::~CUDAGraph calls reset, which releases the pool of a recording that was ended, and no other, and what is
            # kept for cuBLAS on its stream.
            weakref.finalize(made, _release_all, driver, made.ended)
            return made

        recording: Recording | None
        ended: list[tuple[tuple[int, int], int]]
        workspace: object

        def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
            driver.card.check()
            if driver.card.stream == 0:
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
            self.ended.append((self.into, driver.card.stream))
            self.workspace = driver.card.workspaces.kept.get(driver.card.stream)

        def replay(self) -> None:
            driver.card.check()
            if self.recording is None:
                # CUDAGraph::replay
                raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
            if driver.card.workspaces.kept.get(self.ended[-1][1]) is not self.workspace:
                # Issue 193402: another recording on the same stream is gone, and took the memory that this one's products use.
                raise cuda_error(700)
            with torch._C._DisableTorchDispatch():  # they compute with the processor's tensors alone
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


def _release_all(driver: Driver, ended: list[tuple[tuple[int, int], int]]) -> None:
    while ended:
        pool, stream = ended.pop()
        driver.card.workspaces.clear(stream)
        driver.release_pool(0, pool)
