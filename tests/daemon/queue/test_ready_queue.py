"""The ready queue: who is next, who is not yet, and what it costs to know."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import Settings
from daemon.config.reload import reload_settings
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.queue.steady_clock import SteadyClock
from daemon.service import Service
from tests.support.daemon.counted import Counted

#: The monotonic and the wall clock stand still at these.
NOW, WALL = 1000.0, 1.8e9


@pytest.fixture
def ready_queue() -> ReadyQueue:
    return ReadyQueue(SteadyClock(lambda: NOW, lambda: WALL))


def job(number: int, accepted: float = 0.0, **fields: Any) -> Job:
    """The n-th job, accepted at `accepted` s before now."""
    return Job(
        f"job-20260101T000000Z-{number:08x}", "n", "n.yaml", stage="tts", accepted=WALL - accepted, since=WALL, **fields
    )


def numbers(tickets: list[Ticket]) -> list[int]:
    return [int(ticket.id[-8:], 16) for ticket in tickets]


def drained(ready_queue: ReadyQueue, now: float = NOW, stage: Stage = "tts") -> list[int]:
    """Take all jobs in the order in which they come up."""
    found = []
    while (head := ready_queue.head(stage, now)) is not None:
        ready_queue.remove(head.id)
        found.append(head)
    return numbers(found)


def test_the_order_is_priority_then_time_of_acceptance_then_id(ready_queue: ReadyQueue) -> None:
    for one in (job(4), job(3), job(2, accepted=50.0), job(1, priority=-1, accepted=90.0), job(5, priority=9)):
        ready_queue.add(one)
    assert numbers(ready_queue.front("tts", 9)) == [5, 2, 3, 4, 1]
    assert numbers(ready_queue.front("tts", 2)) == [5, 2]
    assert drained(ready_queue) == [5, 2, 3, 4, 1]


def test_each_stage_has_a_queue_of_its_own_and_a_job_stands_in_one(ready_queue: ReadyQueue) -> None:
    one = job(1)
    ready_queue.add(one)
    one.stage = "deliver"
    ready_queue.add(one)  # it went on
    assert ready_queue.head("tts", NOW) is None
    assert drained(ready_queue, stage="deliver") == [1]
    assert (len(ready_queue), ready_queue.count("tts"), ready_queue.count("deliver")) == (0, 0, 0)


def test_a_job_gets_another_place_with_another_priority(ready_queue: ReadyQueue) -> None:
    first, second = job(1, accepted=9.0), job(2)
    ready_queue.add(first)
    ready_queue.add(second)
    second.priority = 5
    ready_queue.add(second)
    second.priority = -5
    ready_queue.add(second)
    assert (len(ready_queue), numbers(ready_queue.front("tts", 9))) == (2, [1, 2])
    assert drained(ready_queue) == [1, 2]


def test_a_job_without_a_stage_is_refused(ready_queue: ReadyQueue) -> None:
    one = job(1)
    one.stage = None
    with pytest.raises(ValueError, match="no stage"):
        ready_queue.add(one)
    assert len(ready_queue) == 0


def test_a_delayed_job_is_passed_over_until_its_time_and_no_longer(ready_queue: ReadyQueue) -> None:
    ready_queue.add(job(1, not_before=WALL + 60.0, priority=9))
    ready_queue.add(job(2))
    assert ready_queue.next_due() == NOW + 60.0
    assert (numbers(ready_queue.front("tts", 9)), ready_queue.count("tts")) == ([2], 2)
    early = ready_queue.head("tts", NOW + 59.9)
    assert early is not None
    assert numbers([early]) == [2]
    assert drained(ready_queue, NOW + 60.0) == [1, 2]


def test_a_delayed_job_that_is_taken_away_never_comes_up(ready_queue: ReadyQueue) -> None:
    one = job(1, not_before=WALL + 60.0)
    ready_queue.add(one)
    ready_queue.remove(one.id)
    assert drained(ready_queue, NOW + 61.0) == []
    # And one that is put there again without a delay comes up once
    ready_queue.add(one)
    one.not_before = 0.0
    ready_queue.add(one)
    assert drained(ready_queue, NOW) == [1]
    assert drained(ready_queue, NOW + 61.0) == []


def test_a_ticket_that_is_put_back_keeps_its_place(ready_queue: ReadyQueue) -> None:
    for number in (1, 2, 3):
        ready_queue.add(job(number, accepted=10.0 - number))
    taken = ready_queue.remove(job(1).id)
    assert taken is not None
    ready_queue.restore(taken)
    assert drained(ready_queue) == [1, 2, 3]


def test_the_front_is_whole_however_many_were_taken_out_before_it(ready_queue: ReadyQueue) -> None:
    # Given many jobs / When the first hundred are cancelled
    for number in range(130):
        ready_queue.add(job(number))
    for number in range(100):
        ready_queue.remove(job(number).id)
    # Then those behind them are the first
    assert numbers(ready_queue.front("tts", 20)) == list(range(100, 120))
    assert len(ready_queue) == 30


def test_a_delay_that_a_reload_allows_is_not_cut(memory: Path) -> None:
    # Given the parts of a daemon / When the configuration is read anew, with longer delays
    service = Service(Settings.parse({"paths": {"spool": "spool"}}, memory / "config.yaml"))
    config = memory / "later.yaml"
    config.write_text("retry: {max_delay_s: 7200}\npaths: {spool: spool}\n")
    reload_settings(service.settings, config)
    one = job(1)
    one.since = time.time()
    one.not_before = one.since + 1.5 * 7200.0
    before = time.monotonic()
    service.ready_queue.add(one)
    # Then the longest of them is kept, and none is longer, whatever a record says
    assert service.ready_queue.head("tts", before + 1.4 * 7200.0) is None
    one.not_before += 10**6
    service.ready_queue.add(one)
    assert service.ready_queue.head("tts", time.monotonic() + 2 * 7200.0) is not None


def comparisons(waiting: int) -> float:
    """How many comparisons each of 20 claims cost, and a look at the front, with so many jobs waiting."""
    ready_queue = ReadyQueue(SteadyClock(lambda: NOW, lambda: WALL))
    ticket = Ticket("", "tts", 0, 0.0, NOW, 0.0, "voice")
    for number in range(waiting):
        place = number * 7919 % waiting  # in no order
        ready_queue.restore(replace(ticket, id=job(place).id, accepted=Counted(place)))
    Counted.compared = 0
    for number in range(20):
        head = ready_queue.head("tts", NOW)
        assert head is not None
        assert numbers([head]) == [number]
        ready_queue.remove(head.id)
    assert numbers(ready_queue.front("tts", 5)) == [20, 21, 22, 23, 24]
    return Counted.compared / 20


def test_a_claim_costs_the_same_however_many_wait() -> None:
    few, many = comparisons(64), comparisons(4096)
    # A heap of 64 times as many is twice as deep; looking through all of them would cost 64 times as much
    assert 0 < many < 4 * few


def test_who_waits_with_a_lower_priority_lets_nobody_who_comes_go_before_those_that_work(
    ready_queue: ReadyQueue,
) -> None:
    def waits(name: str, stage: Stage, line: str, priority: int = 0) -> Ticket:
        ticket = Ticket(name, stage, priority, NOW, NOW, 0.0, "gpu", (line, ""), 10.0)
        ready_queue.restore(ticket)
        return ticket

    # Given a line whose priority is too low for its turn, and ten minutes of work of another one for another stage
    waits("low", "lipsync", "dora", priority=-1)
    for number in range(60):
        waits(f"{number:02}", "tts", "anna")
        ready_queue.take(f"{number:02}")
    anna = waits("more", "tts", "anna")
    # When somebody comes with the usual priority / Then they stand beside those that work
    cleo = waits("new", "generate", "cleo")
    assert ready_queue.served_s(anna) - ready_queue.served_s(cleo) <= 10.0


@pytest.mark.parametrize("cost_s", [5.0, 10.0, 20.0])
def test_a_line_does_not_starve_behind_a_batch_while_somebody_works_with_a_higher_priority(
    ready_queue: ReadyQueue, cost_s: float
) -> None:
    def waits(name: str, stage: Stage, line: str, priority: int = 0, accepted: float = NOW) -> Ticket:
        cost = cost_s if priority else 10.0
        ticket = Ticket(name, stage, priority, accepted, accepted, 0.0, "gpu", (line, ""), cost)
        ready_queue.restore(ticket)
        return ticket

    # Given a batch, Anna's job that came later and waits for another stage, and Cleo's of a higher priority, one after the other
    for number in range(40):
        waits(f"batch-{number:02}", "tts", "batch")
    anna = waits("anna", "lipsync", "anna", accepted=NOW + 1)
    for number in range(40):
        # When Cleo's job is done between any two others, and the line that was given least goes first
        waits(f"cleo-{number:02}", "tts", "cleo", priority=1, accepted=NOW + 2 + number)
        ready_queue.take(f"cleo-{number:02}")
        batch = ready_queue.head("tts", NOW)
        assert batch is not None
        first = min(batch, anna, key=lambda ticket: (ready_queue.served_s(ticket), ticket.accepted))
        ready_queue.take(first.id)
        if first is anna:
            break
    # Then Anna's turn comes after one job of the batch
    assert number == 1


@given(st.lists(st.tuples(st.integers(-1, 2), st.floats(1.0, 60.0)), min_size=1, max_size=60))
def test_work_of_other_priorities_changes_nothing_in_the_shares_of_lines_that_always_wait(
    turns: list[tuple[int, float]],
) -> None:
    # Given three lines of priority 0 that always have work, each for another stage, and anybody's work of other priorities
    queue = ReadyQueue(SteadyClock(lambda: NOW, lambda: WALL))
    stages: dict[str, Stage] = {"anna": "tts", "ben": "lipsync", "cleo": "generate"}
    given_s = dict.fromkeys(stages, 0.0)
    numbers = itertools.count()

    def waits(line: str, priority: int, cost_s: float) -> Ticket:
        number = next(numbers)
        ticket = Ticket(f"{number:03}", stages[line], priority, NOW + number, NOW, 0.0, "gpu", (line, ""), cost_s)
        queue.restore(ticket)
        return ticket

    waiting = {line: waits(line, 0, 1.0) for line in stages}
    for priority, cost_s in turns:
        if priority:
            queue.take(waits("anna", priority, cost_s).id)
            continue
        line = min(stages, key=lambda line: (queue.served_s(waiting[line]), waiting[line].accepted))
        queue.take(waiting[line].id)
        given_s[line] += waiting[line].cost_s
        waiting[line] = waits(line, 0, cost_s)
    # Then no two of them were given a different amount of work, by more than one job
    assert max(given_s.values()) - min(given_s.values()) <= 60.0
