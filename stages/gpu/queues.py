"""Two queues of work on a device: one computes, and the other copies results to the host meanwhile.

On a GPU they are CUDA streams. On a CPU both call their work directly, so that the same code runs there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch


class QueueMark(Protocol):
    """A point in a queue."""

    def synchronize(self) -> None:
        """Wait until the queue has reached it."""


class WorkQueue(Protocol):
    """A queue whose work runs in order and asynchronously."""

    def do(self, work: Callable[[], None]) -> None:
        """Append work."""

    def mark(self) -> QueueMark:
        """Return the point after all work appended so far."""

    def wait(self, mark: QueueMark) -> None:
        """Run no further work before another queue has reached `mark`."""


class ImmediateQueue:
    """A CPU's queue, which runs work as soon as it is appended. It is its own mark."""

    def do(self, work: Callable[[], None]) -> None:
        """Run the work at once."""
        work()

    def mark(self) -> QueueMark:
        """Return this queue: all its work is done."""
        return self

    def wait(self, mark: QueueMark) -> None:
        """Wait for the other queue."""
        mark.synchronize()

    def synchronize(self) -> None:
        """Return at once: all its work is done."""


class CudaQueue:
    """A queue on a CUDA stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def do(self, work: Callable[[], None]) -> None:
        """Append work to the stream."""
        with torch.cuda.stream(self._stream):
            work()

    def mark(self) -> torch.cuda.Event:
        """Return an event that the stream records after the work appended so far."""
        # Blocking: whoever waits for it sleeps, and takes no core from the drawing and the encoder.
        event = torch.cuda.Event(blocking=True)
        event.record(self._stream)
        return event

    def wait(self, mark: QueueMark) -> None:
        """Let the stream wait for an event of another one; the caller does not wait."""
        assert isinstance(mark, torch.cuda.Event)
        self._stream.wait_event(mark)


def make_queues(device: torch.device) -> tuple[WorkQueue, WorkQueue]:
    """Make the queues for computing and for copying. The computing queue is the current stream, which made the tokens."""
    if device.type != "cuda":
        return ImmediateQueue(), ImmediateQueue()
    return CudaQueue(torch.cuda.current_stream(device)), CudaQueue(torch.cuda.Stream(device))
