"""Makes several calls at once, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all calls at once, as soon as there is a thread for each. Returns what each gave; raises what one raised."""
    there = threading.Barrier(len(calls))

    def together(call: Callable[[], T]) -> T:
        there.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(together, calls))
