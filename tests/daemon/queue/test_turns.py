"""Every waiting job says which place it has and when it is expected to be done, by the work that goes before it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.jobs.facts import BatchCounts, JobFacts, RowOf
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job
from daemon.outbox import backlog as backlog_module
from daemon.outbox.backlog import Backlog
from daemon.outbox.estimator import Estimator
from daemon.outbox.lane_work import LaneWork
from daemon.outbox.status_file import StatusWriter
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.spool import Spool
from daemon.queue.turns import FRONT, OTHERS, Turns, keep_turns
from tests.support.daemon.intake import Room


class Queue:
    """Jobs that wait, in memory."""

    def __init__(self, slots: int = 1) -> None:
        self.estimator, self.ready = Estimator(), ReadyQueue()
        self.backlog = Backlog(self.estimator, lambda: {"gpu": 1, "voice": 1, "cpu": slots})
        self.now = 1e6
        self.turns = Turns(self.ready, self.backlog, lambda: self.now)

    def add(
        self, number: int, stage: str, audio_s: float = 100.0, by: str = "ann", priority: int = 0,
        facts: JobFacts | None = None,
    ) -> Job:  # fmt: skip
        kind = KINDS["video"]
        facts = facts or JobFacts()
        facts.stages.update({"tts": {"audio_s": audio_s, "engine": "kokoro"}, "lipsync": {"engine": "warp"}})
        one = Job(f"job-20260101T000000Z-{number:08x}", f"n{number}", "n.yaml", by=by, stages=kind.stages, stage=stage,
                  priority=priority, facts=facts, accepted=1e9 + number, since=1e9 + number)  # fmt: skip
        self.ready.add(one)
        self.backlog.job_accepted(one)
        return one


def test_a_job_waits_for_the_work_that_goes_before_it() -> None:
    queue = Queue()
    encoding = queue.add(1, "encode")
    first, second = queue.add(2, "tts"), queue.add(3, "tts")
    queue.turns.order()
    assert [queue.turns.of(one).position for one in (encoding, first, second)] == [1, 1, 2]
    # The lane of the videos is the busiest of those before it
    encode = queue.estimator.stage_s(encoding, "encode") + queue.estimator.stage_s(encoding, "deliver")
    assert queue.turns.of(encoding).wait_s == 0.0
    assert queue.turns.of(first).wait_s == pytest.approx(encode)
    assert queue.turns.of(second).wait_s == pytest.approx(2 * encode)
    # And where two of three workers draw, it is over in half the time
    twice = Queue(slots=3)
    for number, stage in enumerate(("encode", "tts", "tts")):
        last = twice.add(number, stage)
    twice.turns.order()
    assert twice.turns.of(last).wait_s == pytest.approx(queue.estimator.stage_s(encoding, "encode"))


def test_a_single_job_waits_for_as_much_of_a_batch_as_it_is_given_itself() -> None:
    # Given a batch of a hundred jobs, and one of another person that came last
    queue = Queue()
    for number in range(100):
        queue.add(number, "lipsync", by="ben")
    single = queue.add(100, "lipsync", by="ann")
    work = queue.backlog.left_of(single).long
    # When it has just come, and in later rounds / Then it is told to wait for about one of them, and they for all
    assert queue.turns.of(single).wait_s == pytest.approx(work, rel=0.05)
    tickets = queue.turns.order()
    assert queue.turns.of(single).wait_s == pytest.approx(work, rel=0.05)
    last = max(queue.turns._known[ticket.id][2].long for ticket in tickets)
    assert last == pytest.approx(100 * work, rel=0.05)


def test_a_job_of_higher_priority_waits_for_none_of_lower_ones_at_any_stage() -> None:
    queue = Queue()
    queue.add(1, "encode")
    urgent = queue.add(2, "tts", priority=5)
    queue.turns.order()
    assert queue.turns.of(urgent).wait_s == 0.0


def test_a_batch_is_expected_to_take_what_its_rows_take_also_those_of_which_no_job_is_made_yet() -> None:
    queue = Queue()
    batch = Job("job-20260101T000000Z-000000ff", "b", "b.yaml", by="ann", state="running",
                facts=JobFacts(batch=BatchCounts(rows=10, taken=5, done=1)))  # fmt: skip
    assert queue.turns.batch_s(batch) is None
    rows = [queue.add(number, "lipsync", facts=JobFacts(row=RowOf(batch.id, "b", 1))) for number in range(4)]
    work = queue.backlog.left_of(rows[0]).long + queue.backlog.left_of(rows[0]).cpu
    assert queue.turns.batch_s(batch) == pytest.approx(9 * work)


def _batch(number: int, rows: int) -> Job:
    counts = BatchCounts(rows=rows, taken=rows)
    return Job(
        f"job-20260101T000000Z-{number:08x}", "b", "b.yaml", by="ann", state="running", facts=JobFacts(batch=counts)
    )


def test_a_batch_waits_for_all_that_has_a_higher_priority_and_for_nothing_that_has_a_lower_one() -> None:
    # Given a short batch that is urgent, a long one that is not, and jobs of somebody else between the two
    queue = Queue()
    urgent, patient = _batch(0xFE, 2), _batch(0xFF, 5)
    for number in range(12):
        of, priority = (urgent, 5) if number < 2 else (patient, -5) if number < 7 else (None, 0)
        facts = JobFacts(row=RowOf(of.id, "b", 1)) if of else None
        one = queue.add(number, "lipsync", by="ann" if of else "ben", priority=priority, facts=facts)
    work = queue.backlog.left_of(one).long + queue.backlog.left_of(one).cpu
    assert queue.turns.batch_s(urgent) == pytest.approx(2 * work)
    assert queue.turns.batch_s(patient) == pytest.approx(12 * work)
    # And a job that has just come is told the same, before the first round
    late = queue.add(12, "lipsync", by="cid", priority=-9)
    queue.now += 10.0
    assert queue.turns.of(late).wait_s == pytest.approx(12 * work)
    # And where its rows have several priorities, it ends with the last ones
    queue.backlog.job_finished(late)
    late = queue.add(13, "lipsync", by="ann", priority=-9, facts=JobFacts(row=RowOf(urgent.id, "b", 1)))
    queue.now += 10.0
    assert queue.turns.batch_s(urgent) == pytest.approx(13 * work)


def test_slots_that_only_draw_do_not_make_short_stages_quicker() -> None:
    work = LaneWork(cpu=10.0, long=10.0)
    # One local slot draws, too; and three of another machine
    assert work.time_in({"cpu": 1}, 3) == LaneWork(cpu=10.0, long=2.5)
    assert work.time_in({"cpu": 2}) == LaneWork(cpu=10.0, long=10.0)


def test_a_job_that_has_just_come_is_the_last_one() -> None:
    queue = Queue()
    queue.add(1, "tts")
    queue.turns.order()
    new = queue.add(2, "tts")
    place, wait_s = queue.turns.of(new)
    assert place == 2
    assert wait_s == pytest.approx(queue.backlog.left_of(new).cpu + queue.backlog.left_of(new).long)


def test_what_has_run_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e6]
    monkeypatch.setattr(backlog_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    queue = Queue()
    running, waiting = queue.add(1, "encode"), queue.add(2, "encode")
    queue.ready.take(running.id)
    running.state = "running"
    queue.backlog.stage_started(running, "encode", 0.0)
    queue.turns.order()
    before = queue.turns.of(waiting).wait_s
    now[0] += 3.0
    queue.turns.order()
    assert queue.turns.of(waiting).wait_s == pytest.approx(before - 3.0)
    # And nothing is left of jobs that have ended
    for one in (running, waiting):
        queue.backlog.job_finished(one)
    assert (queue.backlog.lines, queue.backlog.jobs.total()) == ({}, 0)


def test_a_job_whose_stage_runs_waits_again_for_what_goes_before_it_at_the_next() -> None:
    # Given one job that is spoken, another that waits to be encoded, and a third that waits to be spoken
    queue = Queue()
    spoken, encoding, last = queue.add(1, "tts"), queue.add(2, "encode"), queue.add(3, "tts")
    queue.ready.take(spoken.id)
    spoken.state = "running"
    queue.backlog.stage_started(spoken, "tts", 0.0)
    queue.turns.order()
    encode = queue.backlog.left_of(encoding).long
    deliver = queue.backlog.left_of(encoding).cpu
    # Then it has no place, and waits for the video before it; that video waits for none, and the last job for both
    assert queue.turns.of(spoken).position is None
    assert queue.turns.of(spoken).wait_s == pytest.approx(encode + deliver)
    assert queue.turns.of(encoding) == (1, 0.0)
    assert queue.turns.of(last).wait_s == pytest.approx(2 * (encode + deliver))
    # And the time since the last round has passed for them, also where they have gone on meanwhile
    queue.now += 2.0
    assert queue.turns.of(last).position == 1
    assert queue.turns.of(last).wait_s == pytest.approx(2 * (encode + deliver) - 2.0)
    last.stage = "lipsync"
    queue.ready.add(last)
    assert queue.turns.of(last).wait_s == pytest.approx(2 * (encode + deliver) - 2.0)


def test_jobs_that_come_together_wait_for_each_other() -> None:
    queue = Queue()
    one = queue.add(1, "tts")
    queue.backlog.job_finished(one)
    queue.ready.remove(one.id)
    work = queue.backlog.left_of(one)
    assert [queue.turns.of(one, behind).wait_s for behind in (0, 1, 5)] == pytest.approx(
        [0.0, work.cpu + work.long, 5 * (work.cpu + work.long)]
    )


def test_the_first_status_of_each_job_of_a_burst_has_its_place_and_its_end(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for number in range(3):
        room.put(f"n{number}.yaml", "kind: speech\ntext: Hello to all of you.\n")
    room.settle()
    statuses = [room.status(f"n{number}") for number in range(3)]
    assert sorted(status["queue_position"] for status in statuses) == [1, 2, 3]
    assert all(status["eta_s"] > 0 for status in statuses)


def test_those_far_behind_are_brought_up_to_date_in_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path)
    # Given more waiting jobs than a round brings up to date
    number = FRONT + OTHERS + 5
    for one in range(number):
        room.put(f"n{one:03}.yaml", "kind: speech\ntext: Hello to all of you.\n")
    room.settle()
    written: list[str] = []
    service = room.service
    monkeypatch.setattr(service.status, "queue_position", lambda job, turn: written.append(job.name))
    rounds: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            rounds.append(seconds)
            if len(rounds) == 2:
                raise asyncio.CancelledError

    monkeypatch.setattr("daemon.queue.turns.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_turns(service.turns, service.spool, service.status, service.batches.all_running))
    # Then two rounds write each of them once: nothing has changed meanwhile
    assert sorted(written) == [f"n{one:03}" for one in range(number)]


def test_a_batch_that_waits_for_others_says_a_new_end_though_none_of_its_rows_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, ends = _batch(1, 5), iter((10.0, 100.0, 101.0, None))
    written: list[float] = []
    status = cast(StatusWriter, SimpleNamespace(queue_position=lambda job, turn: written.append(turn.wait_s)))
    queue = Queue()
    monkeypatch.setattr(queue.turns, "batch_s", lambda job: next(ends))

    async def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 4:
            raise asyncio.CancelledError

    rounds: list[float] = []
    monkeypatch.setattr("daemon.queue.turns.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_turns(queue.turns, Spool(tmp_path), status, lambda: [batch]))
    # Then it is written where it has changed by more than a little
    assert written == [10.0, 100.0, 0.0]
