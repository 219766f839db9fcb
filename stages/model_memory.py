"""Measures what a model takes in memory: before and after it is loaded or unloaded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from daemon.system.memory import own_memory_bytes

#: What takes less time is no load: the model was there already, or is small. s
LEAST_S = 0.05


@dataclass(frozen=True)
class ModelMemory:
    """A model that was loaded or unloaded.

    Attributes:
        model: its name.
        change: what happened to it.
        seconds: how long that took.
        ram_before, ram_after: main memory that this process holds, bytes; pages of mapped files are not counted.
        gpu_before, gpu_after: memory that PyTorch holds on the GPU for this process, bytes; None where it uses none.
    """

    model: str
    change: Literal["loaded", "unloaded"]
    seconds: float
    ram_before: int
    ram_after: int
    gpu_before: int | None = None
    gpu_after: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record for the status file; what is None is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


#: Is told of each model that is loaded or unloaded.
Report = Callable[[ModelMemory], None]


@contextmanager
def measured(
    model: str, report: Report, change: Literal["loaded", "unloaded"] = "loaded", least_s: float = LEAST_S
) -> Iterator[None]:
    """Measure time and memory of what is done in the block, and report it if it took at least `least_s`."""
    began, ram, gpu = time.monotonic(), own_memory_bytes(), gpu_bytes()
    yield
    seconds = time.monotonic() - began
    if seconds >= least_s:
        after = gpu_bytes()
        before = 0 if gpu is None and after is not None else gpu
        report(ModelMemory(model, change, round(seconds, 3), ram, own_memory_bytes(), before, after))


def gpu_bytes() -> int | None:
    """Return the memory that PyTorch holds on the GPU for this process, bytes; None where it uses no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.memory_reserved())
