"""Lines share a lane over all of its stages: who comes waits for nobody's thousand jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.queue.line_clocks import LineClocks

BATCH, ANNA = ("ben", "batch"), ("anna", "")


def test_who_comes_is_next_and_then_they_take_turns() -> None:
    clocks = LineClocks()
    for _ in range(1000):
        clocks.served(BATCH, 1.0)
    # When somebody comes after a thousand jobs of another line
    served = []
    for _ in range(6):
        line = min((BATCH, ANNA), key=clocks.of)
        clocks.served(line, 1.0)
        served.append(line)
    # Then they are next, and have every second turn from then on, no more
    assert served[0] == ANNA
    assert served.count(ANNA) == 3


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.01, 100.0)), min_size=1, max_size=200))
def test_no_line_waits_while_another_one_gets_more_than_one_job_beyond_it(jobs: list[tuple[int, float]]) -> None:
    # Given six lines that always have work, of any size
    clocks = LineClocks()
    lines = [(str(number), "") for number in range(6)]
    given_s = dict.fromkeys(lines, 0.0)
    for _, cost_s in jobs:
        line = min(lines, key=clocks.of)
        clocks.served(line, cost_s)
        given_s[line] += cost_s
    # Then no two differ by more than the largest job
    assert max(given_s.values()) - min(given_s.values()) <= max(cost for _, cost in jobs) + 1e-6


def test_a_line_that_is_passed_over_keeps_what_it_is_owed() -> None:
    # Given Anna, who waits while jobs of a batch go before hers, as their model is loaded
    clocks = LineClocks()
    for _ in range(100):
        clocks.served(BATCH, 1.0, waiting=[BATCH, ANNA])
    # Then she is owed as much as the batch was given; and nobody who comes now is owed more
    assert clocks.of(BATCH) - clocks.of(ANNA) == 100.0
    assert clocks.of(("cleo", "")) == clocks.of(ANNA)


def test_who_comes_while_another_line_cannot_be_served_does_not_go_before_all_for_hours() -> None:
    # Given Anna, whose stage no GPU can run for three hours, while a batch works
    clocks = LineClocks()
    for _ in range(1080):
        clocks.served(BATCH, 10.0, waiting=[BATCH, ANNA])
    # When somebody comes / Then they, and she, go before the batch for ten minutes of work, no more
    assert clocks.of(BATCH) - clocks.of(("cleo", "")) == clocks.of(BATCH) - clocks.of(ANNA) <= 610.0
