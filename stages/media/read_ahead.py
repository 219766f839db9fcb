"""Makes the next item of an iterator in a thread while the current one is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items in their order; while the caller uses one, the next one is made in a thread.

    An error that making an item raises is raised where the item would be yielded.
    """
    source = iter(items)
    done = object()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        coming = thread.submit(next, source, done)
        while (item := coming.result()) is not done:
            coming = thread.submit(next, source, done)
            yield item  # type: ignore[misc]
