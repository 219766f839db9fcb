"""The next item is made while the current one is used; order and errors are the iterator's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stages.media.read_ahead import read_ahead


def test_the_next_item_is_made_while_the_current_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    source = read_ahead(items())
    assert next(source) == 0
    # Before anybody asks for it
    assert made[1].wait(60)
    assert list(source) == [1, 2]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    source = read_ahead(items())
    assert next(source) == 1
    with pytest.raises(ValueError, match="torn"):
        next(source)


def test_a_caller_that_stops_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    source = read_ahead(iter(range(5)))
    next(source)
    begun = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("read-ahead")}
    assert begun
    source.close()  # type: ignore[attr-defined]
    assert not any(thread.is_alive() for thread in begun)
