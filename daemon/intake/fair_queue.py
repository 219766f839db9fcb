"""Decides whose drop is next, so that an owner who drops much or often keeps nobody else waiting.

Items stand in lines within lines: one for each owner, in it one for each folder, and so on. One of each line is served in turn,
and what was served goes to the end of its line. The order depends on when an item was first seen here, not on what its owner can
choose, such as times and names.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

#: What one turn may take: time, in s, jobs, and bytes that are copied for them. The inbox is looked at between two turns.
TURN_S, TURN_JOBS, TURN_BYTES = 0.5, 256, 256 * 2**20

T = TypeVar("T")
_Line = dict[Hashable, Any]


class Turn:
    """Measures what one turn has taken. `jobs` and `copied` (bytes) are counted by whoever uses it.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._first = True
        self.jobs = 0
        self.copied = 0

    def has_room(self) -> bool:
        """Return whether one more item may be begun. The first one always may, so that each turn gets something done."""
        first, self._first = self._first, False
        spent = self._clock() - self._began
        return first or (self.jobs < TURN_JOBS and self.copied < TURN_BYTES and spent < TURN_S)


class FairQueue(Generic[T]):
    """Serves the items of many owners in turn.

    Args:
        lines: gives the lines that an item stands in, outermost first, and at the end what distinguishes the item itself.

    Attributes:
        unfinished: whether the last turn ended before each item was served.
    """

    def __init__(self, lines: Callable[[T], tuple[Hashable, ...]]) -> None:
        self._lines = lines
        self._root: _Line = {}
        self._items: dict[tuple[Hashable, ...], T] = {}
        self.unfinished = False

    def keep(self, items: Iterable[T]) -> None:
        """Hold these items and no others. New ones go to the end of their lines, in the order given."""
        items_now = {self._lines(item): item for item in items}
        for path in self._items.keys() - items_now.keys():
            _remove(self._root, path)
        for path in items_now:
            line = self._root
            for part in path[:-1]:
                line = line.setdefault(part, {})
            line.setdefault(path[-1], path)
        self._items = items_now

    def serve(self, turn: Turn) -> Iterator[T]:
        """Yield each item at most once, until the turn is over. The next turn goes on after the last one that was served."""
        self.unfinished = True
        served = _round(self._root)
        while turn.has_room():
            path = next(served, None)
            if path is None:
                self.unfinished = False
                return
            yield self._items[path]


def owner_lines(uid: int, name: str) -> tuple[Hashable, ...]:
    """Return the lines of a file below the inbox: one for each owner, and one for each folder where all have one owner."""
    return uid, os.path.dirname(name)


def _round(line: _Line) -> Iterator[tuple[Hashable, ...]]:
    rest = deque((key, _round(below) if isinstance(below, dict) else iter((below,))) for key, below in line.items())
    while rest:
        key, branch = rest.popleft()
        path = next(branch, None)
        if path is None:
            continue
        line[key] = line.pop(key)  # to the end
        yield path
        rest.append((key, branch))


def _remove(line: _Line, path: tuple[Hashable, ...]) -> None:
    if len(path) > 1:
        _remove(line[path[0]], path[1:])
        if line[path[0]]:
            return
    del line[path[0]]
