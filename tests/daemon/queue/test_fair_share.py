"""Fair shares in a queue: who waits is served, whoever else drops how much."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.jobs.record import Line
from daemon.queue.fair_share import FairShare
from tests.support.daemon.counted import Counted
from tests.support.endurance import repeats


@dataclass(frozen=True)
class Work:
    """A job of `owner`. `rank`: its number, in the order of arrival."""

    rank: float
    line: Line
    cost_s: float


class Queue:
    """A queue, and what was done in it."""

    def __init__(self) -> None:
        self.waiting: dict[float, Work] = {}
        self.share = FairShare[Work](lambda job: self.waiting.get(job.rank) is job)
        self.served: dict[str, float] = defaultdict(float)
        self._count = 0

    def drop(self, owner: str, cost_s: float = 1.0, folder: str = "") -> Work:
        self._count += 1
        job = Work(self._count, (owner, folder), cost_s)
        self.waiting[job.rank] = job
        self.share.push(job)
        return job

    def cancel(self, job: Work) -> None:
        del self.waiting[job.rank]
        self.share.removed(job, was_taken=False)

    def take(self) -> Work:
        job = self.share.head()
        assert job is not None
        del self.waiting[job.rank]
        self.share.removed(job, was_taken=True)
        self.served[job.line[0]] += job.cost_s
        return job


def test_a_single_job_does_not_wait_behind_another_owners_thousand() -> None:
    # Given a thousand jobs of Anna, some of which were done / When Ben drops one
    queue = Queue()
    for _ in range(1000):
        queue.drop("anna", cost_s=9.0)
    for _ in range(50):
        queue.take()
    bens = queue.drop("ben", cost_s=9.0)
    # Then it is the next but one at most
    assert bens in (queue.take(), queue.take())


def test_who_comes_later_gets_no_turns_for_the_time_before() -> None:
    # Given Anna, who was alone for a hundred jobs / When Ben drops a hundred, too
    queue = Queue()
    for _ in range(200):
        queue.drop("anna")
    for _ in range(100):
        queue.take()
    for _ in range(100):
        queue.drop("ben")
    # Then they are served by turns from then on
    owners = [queue.take().line[0] for _ in range(40)]
    assert set(Counter(owners).values()) == {20}
    assert "ben" in owners[:2]


def test_long_jobs_count_for_more_than_short_ones() -> None:
    queue = Queue()
    for _ in range(100):
        queue.drop("lectures", cost_s=600.0)
        queue.drop("greetings", cost_s=6.0)
    for _ in range(102):
        queue.take()
    assert queue.waiting
    assert [job.line[0] for job in queue.waiting.values()].count("greetings") == 0


def test_an_owner_with_many_folders_gets_one_owners_share() -> None:
    # Given Anna with ten folders and Ben with one, and more than enough jobs in each
    queue = Queue()
    for number in range(400):
        queue.drop("anna", folder=str(number % 10))
        queue.drop("ben")
    for _ in range(200):
        queue.take()
    # Then each gets about half, and Anna's folders the same of hers
    assert abs(queue.served["anna"] - queue.served["ben"]) <= 10
    assert set(Counter(job.line[1] for job in queue.waiting.values() if job.line[0] == "anna").values()) <= {29, 30, 31}


OWNERS = st.sampled_from(["anna", "ben", "cleo", "dora"])
#: drop (owner, seconds), take one, cancel the n-th
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), OWNERS, st.floats(0.0, 50.0)),
        st.just(("take",)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
    ),
    max_size=120,
)


@settings(max_examples=repeats("AVATAR_FUZZ", 30, 300), derandomize=True)
@given(STEPS)
def test_whatever_happens_each_job_comes_up_once_its_line_in_order_and_as_was_told(
    steps: list[tuple[str, ...]],
) -> None:
    queue = Queue()
    taken: list[Work] = []
    for step in steps:
        if step[0] == "drop":
            queue.drop(step[1], float(step[2]))
        elif step[0] == "cancel" and queue.waiting:
            queue.cancel(list(queue.waiting.values())[int(step[1]) % len(queue.waiting)])
        elif step[0] == "take" and queue.waiting:
            taken.append(queue.take())
        assert (queue.share.head() is None) == (not queue.waiting)
    told = list(queue.share.front())
    assert sorted(job.rank for job in told) == sorted(queue.waiting)
    for owner in "anna", "ben", "cleo", "dora":
        ranks = [job.rank for job in taken + told if job.line[0] == owner]
        assert ranks == sorted(ranks)
    # Nothing is added any more: what was told to come next, comes; an owner's last job changes the shares of no other
    assert [queue.take() for _ in told] == told
    assert queue.share.head() is None


@settings(max_examples=repeats("AVATAR_FUZZ", 30, 300), derandomize=True)
@given(st.lists(st.tuples(OWNERS, st.floats(0.1, 50.0)), min_size=20, max_size=200))
def test_nobody_who_waits_falls_behind_another_by_more_than_a_job_each(drops: list[tuple[str, float]]) -> None:
    queue = Queue()
    most = max(cost for _, cost in drops)
    for owner, cost in drops:
        queue.drop(owner, cost)
    while queue.waiting:
        queue.take()
        waiting = {job.line[0] for job in queue.waiting.values()}
        for one in waiting:
            for other in list(queue.served):
                assert queue.served[other] - queue.served[one] <= most + 1e-6


def test_lines_that_wait_for_nothing_are_forgotten() -> None:
    # Given a thousand owners who drop one job each, beside one who always waits
    queue = Queue()
    queue.drop("anna")
    for number in range(1000):
        queue.drop("anna")
        queue.drop(f"owner-{number}")
        queue.take()
        queue.take()
    # Then a bounded number is remembered; none, when nobody waits
    assert len(queue.share._lines) < 210
    while queue.waiting:
        queue.take()
    assert not queue.share._lines


def test_a_turn_costs_the_same_however_many_owners_wait() -> None:
    def comparisons(owners: int) -> float:
        queue = Queue()
        for number in range(owners * 2):
            job = Work(Counted(number), (f"owner-{number % owners}", ""), 1.0)
            queue.waiting[job.rank] = job
            queue.share.push(job)
        Counted.compared = 0
        for _ in range(20):
            queue.take()
        return Counted.compared / 20

    few, many = comparisons(32), comparisons(2048)
    assert 0 < many < 4 * few
