"""Who is next: one of each owner in turn, whatever one of them drops."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice

import pytest

from daemon.intake.fair_queue import TURN_JOBS, TURN_S, FairQueue, Turn


def by_letters(item: str) -> tuple[Hashable, ...]:
    """Items such as `a/x/1`: an owner, a folder, a file."""
    return tuple(item.split("/"))


def serve(queue: FairQueue[str], number: int) -> list[str]:
    """A turn that ends after so many items."""
    return list(islice(queue.serve(Turn(lambda: 0.0)), number))


def test_each_owner_and_each_folder_of_one_is_served_in_turn() -> None:
    queue = FairQueue(by_letters)
    queue.keep(["a/x/1", "a/x/2", "a/y/1", "a/x/3", "b/x/1"])
    assert serve(queue, 99) == ["a/x/1", "b/x/1", "a/y/1", "a/x/2", "a/x/3"]
    assert not queue.unfinished


def test_the_next_turn_goes_on_where_the_last_one_stopped() -> None:
    # Given turns that end after one item, and one owner who always has more
    queue = FairQueue(by_letters)
    names = [f"a/x/{number}" for number in range(9)]
    queue.keep([*names, "b/x/1"])
    # Then the other is served every second time, and none of the first one's twice before its others
    served = []
    for _ in range(10):
        served += serve(queue, 1)
        assert queue.unfinished
        queue.keep([*names, "b/x/1"])
    assert served[:2] == ["a/x/0", "b/x/1"]
    assert served[0::2] == names[:5]


@pytest.mark.parametrize("again", ["a/x/%d", "a/new%d/1"])
def test_what_is_new_or_changed_goes_behind_what_waits(again: str) -> None:
    # Given turns of one item, and somebody who changes all but one of the items between two turns, or puts them into new folders
    queue = FairQueue(by_letters)
    number, served = 0, []
    while "a/x/patient" not in served:
        queue.keep([*(again % (number + more) for more in range(5)), "a/x/patient"])
        served += serve(queue, 1)
        number += 5
        assert len(served) < 10
    # Then what stays is served all the same, and what is gone is forgotten
    queue.keep([])
    assert serve(queue, 99) == []


def test_a_turn_ends_by_time_or_by_jobs_and_never_before_its_first_item() -> None:
    now = 0.0
    late, busy = Turn(lambda: now), Turn(lambda: 0.0)
    now = TURN_S
    assert [late.has_room(), late.has_room()] == [True, False]
    assert all(busy.has_room() for _ in islice(range(1000), 1000))
    busy.jobs = TURN_JOBS
    assert not busy.has_room()
