"""Keeps values in a worker's memory for its next job, and frees them while no job comes or before a step that needs memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from daemon.system.memory import is_short, release_free_memory

Source = TypeVar("Source")
Value = TypeVar("Value")

#: Frees each value that is kept.
_free: list[Callable[[], None]] = []


class KeptValue(Generic[Source, Value]):
    """A place for one value, which follows from its source. Make it once, as a constant of a module."""

    def __init__(self) -> None:
        self._kept: tuple[Source, Value] | None = None
        _free.append(self.free)

    def take(self, source: Source) -> Value | None:
        """Take out the value of a source; None if it is not there. That of another source is freed: memory need not hold two."""
        kept, self._kept = self._kept, None
        return kept[1] if kept is not None and kept[0] == source else None

    def keep(self, source: Source, value: Value) -> None:
        """Keep a value in place of the one before, unless memory is short."""
        self._kept = None if is_short() else (source, value)

    def free(self) -> None:
        """Keep nothing."""
        self._kept = None


def free_kept() -> None:
    """Free all values that are kept."""
    for free in _free:
        free()
    release_free_memory()
