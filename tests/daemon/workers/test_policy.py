"""The choice of the next job and its slot: a pure function. Its promises are those of docs/scaling.md."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.jobs.stages import STAGES, Stage, stages_of_lane
from daemon.workers.policy import SHORT_S, Choice, Costs, Queue, SlotView, Snapshot, choose
from tests.support.daemon.scheduling import STAGES as GPU_STAGES
from tests.support.daemon.scheduling import Simulation
from tests.support.endurance import repeats

TTS: Stage = "tts"
LIPSYNC: Stage = "lipsync"
GPU = frozenset(GPU_STAGES)
CPU = frozenset(stages_of_lane("cpu"))


def gpu(name: str = "gpu 0", resident: Iterable[Stage] = (), **more: object) -> SlotView:
    return replace(SlotView(name, GPU, resident=frozenset(resident)), **more)  # type: ignore[arg-type]


def on_gpu(*queues: Queue, slots: Iterable[SlotView], now: float = 100.0, costs: Costs | None = None) -> Choice | None:
    return choose(Snapshot(now, queues, list(slots), costs or Costs(), stick_jobs=4, stick_s=60.0))


def stage_on_gpu(*queues: Queue, run: int = 1, resident: Stage = TTS, now: float = 100.0) -> Stage | None:
    choice = on_gpu(*queues, slots=[gpu(resident=[resident], run=run)], now=now)
    return choice.stage if choice else None


#: The lip-sync job has the older record, and is first by shares.
SPEECH, MOUTH = Queue(TTS, "b", 3, accepted=9.0, since=99.0), Queue(LIPSYNC, "a", 5, accepted=8.0, since=90.0)


def test_a_slot_stays_with_its_models_for_so_many_jobs_and_while_no_other_queue_stands_still_too_long() -> None:
    assert stage_on_gpu(SPEECH, MOUTH) == TTS
    assert stage_on_gpu(SPEECH, MOUTH, run=4) == LIPSYNC
    assert stage_on_gpu(SPEECH, MOUTH, now=150.0) == LIPSYNC
    # But not for those that have been given more already
    assert stage_on_gpu(SPEECH, replace(MOUTH, served_s=1.0), run=99) == TTS


def test_a_higher_priority_changes_the_models_at_once_and_a_lower_one_never() -> None:
    assert stage_on_gpu(SPEECH, replace(MOUTH, priority=10)) == LIPSYNC
    assert stage_on_gpu(SPEECH, replace(MOUTH, priority=-1), run=99, now=999.0) == TTS


def test_models_that_fit_beside_the_loaded_ones_need_not_wait() -> None:
    slot = gpu(resident=[TTS], free_bytes=5)
    for size, expected in ((5, LIPSYNC), (6, TTS)):
        choice = on_gpu(SPEECH, MOUTH, slots=[slot], costs=Costs(gpu_bytes={LIPSYNC: size}))
        assert choice is not None
        assert choice.stage == expected
    # And when both are there, whose turn it is goes first
    both = on_gpu(SPEECH, MOUTH, slots=[gpu(resident=[TTS, LIPSYNC])])
    assert both == Choice("gpu 0", LIPSYNC, "a")


def test_a_job_goes_to_the_gpu_that_holds_its_models_else_to_an_empty_one() -> None:
    speaking, empty = gpu("gpu 0", [TTS]), gpu("gpu 1", state="none")
    assert on_gpu(SPEECH, slots=[empty, speaking]) == Choice("gpu 0", TTS, "b")
    assert on_gpu(MOUTH, slots=[speaking, empty]) == Choice("gpu 1", LIPSYNC, "a")


def test_a_job_waits_for_a_busy_gpu_with_its_models_no_longer_than_loading_them_takes() -> None:
    slots = [gpu("gpu 0", [TTS], state="busy", running=TTS), gpu("gpu 1")]
    costs = Costs(load_s={TTS: 20.0})
    short = Queue(TTS, "b", count=2, since=99.0, cost_s=3.0)
    assert on_gpu(short, slots=slots, costs=costs) is None
    assert on_gpu(replace(short, count=7), slots=slots, costs=costs) == Choice("gpu 1", TTS, "b")
    assert on_gpu(short, slots=slots, costs=costs, now=120.0) == Choice("gpu 1", TTS, "b")


def test_nothing_waits_or_only_what_a_gpu_may_not_run() -> None:
    assert on_gpu(slots=[gpu()]) is None
    assert on_gpu(SPEECH, slots=[gpu(stages=frozenset({LIPSYNC}))]) is None
    assert on_gpu(SPEECH, slots=[gpu(state="busy", running=LIPSYNC)]) is None


# -- the cpu lane ------------------------------------------------------------------------------------------------------


def on_cpu(*queues: Queue, long: int, slots: int, ahead: int = 0) -> Stage | None:
    views = [
        SlotView(f"cpu {n}", CPU, "busy" if n < long else "free", "encode" if n < long else None, CPU)
        for n in range(slots)
    ]
    choice = choose(Snapshot(100.0, queues, views, ahead=ahead))
    return choice.stage if choice else None


def test_cpu_delivers_first_and_keeps_a_process_free_for_short_stages() -> None:
    face, encode, deliver = Queue("face", "c", 9), Queue("encode", "b", 9), Queue("deliver", "a")
    assert on_cpu(face, encode, deliver, long=0, slots=2) == "deliver"
    assert on_cpu(face, encode, long=0, slots=2) == "face"  # the gpu lane would starve
    assert on_cpu(face, encode, long=0, slots=2, ahead=9) == "encode"
    assert on_cpu(encode, long=1, slots=2, ahead=9) is None
    assert on_cpu(encode, long=0, slots=1, ahead=9) == "encode"


def test_slots_elsewhere_that_only_draw_leave_one_here_free_of_videos() -> None:
    # Given two slots here and four on other machines, which only draw, and more videos than slots
    there = [SlotView(f"ray {n}", frozenset({"encode"}), "free", None, frozenset({"encode"})) for n in range(4)]
    here = [SlotView("cpu 0", CPU, "busy", "encode", CPU), SlotView("cpu 1", CPU, "free", None, CPU)]
    videos = Queue("encode", "a", 9)
    # Then the second one here takes none, and each one there does
    assert choose(Snapshot(10.0, [videos], [*here, *there], ahead=9.0)) == Choice("ray 0", "encode", "a")
    assert choose(Snapshot(10.0, [videos], here, ahead=9.0)) is None
    busy = [replace(slot, state="busy", running="encode") for slot in there]
    assert choose(Snapshot(10.0, [videos], [*here, *busy], ahead=9.0)) is None


def test_short_stages_of_a_batch_do_not_keep_others_from_their_videos() -> None:
    # Given thousands of short stages of one line, and an encoding of another one
    def first(served_s: float, priority: int = 0) -> Stage | None:
        info = Queue("info", "b", 9999, priority, served_s=served_s)
        return on_cpu(info, Queue("encode", "a"), long=0, slots=2, ahead=9)

    # Then they go first for a while, the encoding then, and they again where they are more urgent
    assert first(served_s=1.0) == "info"
    assert first(served_s=SHORT_S + 1) == "encode"
    assert first(served_s=SHORT_S + 1, priority=1) == "info"
    # And no more do a thousand portraits of a batch, while the gpu lane has nothing to do
    encode = Queue("encode", "a")
    for short in ("face", "info"):
        batch = Queue(short, "b", 999, served_s=SHORT_S + 1)
        assert on_cpu(batch, encode, long=0, slots=2) == "encode"
        assert on_cpu(batch, encode, long=1, slots=2) == short  # one slot stays free of videos
    assert on_cpu(Queue("info", "c"), Queue("face", "b", 999, served_s=99.0), encode, long=0, slots=2) == "info"


@pytest.mark.parametrize("short", ["info", "face", "deliver"])
def test_on_the_cpu_too_the_highest_priority_goes_first(short: Stage) -> None:
    # Given a short stage of a low priority, and a video of a high one
    queues = Queue(short, "a", priority=-1), Queue("encode", "b", priority=1, served_s=99.0)
    # Then the video goes first, where it may be drawn
    assert on_cpu(*queues, long=0, slots=2) == on_cpu(*queues, long=0, slots=1, ahead=9) == "encode"
    assert on_cpu(*queues, long=1, slots=2) == short


def test_a_job_ends_before_others_of_its_line_begin_and_who_had_less_goes_first() -> None:
    info = Queue("info", "b", 9999, accepted=2.0, served_s=5.0)
    deliver = Queue("deliver", "a", accepted=1.0, served_s=5.0)
    assert on_cpu(info, deliver, long=0, slots=1) == "deliver"
    assert on_cpu(info, deliver, Queue("check", "c", accepted=9.0, served_s=4.0), long=0, slots=1) == "check"


# -- promises, over whole histories ------------------------------------------------------------------------------------

LINES = st.sampled_from(["anna", "ben", "cleo"])
#: Seconds until it comes, stage, seconds of work, whose.
ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 30.0), st.sampled_from(GPU_STAGES), st.floats(0.1, 40.0), LINES), min_size=1, max_size=60
)
MACHINES = st.builds(
    Simulation,
    slots=st.integers(1, 3),
    load_s=st.floats(0.0, 30.0),
    room_bytes=st.integers(1, 3),
    stick_jobs=st.integers(1, 8),
    stick_s=st.floats(0.0, 120.0),
)
#: What the GPUs of a machine are for; empty: all stages.
RESTRICTED = st.sampled_from(
    [
        [],
        [frozenset({TTS, "generate"}), frozenset({LIPSYNC, "generate"})],
        [frozenset({TTS}), GPU],
        [GPU, frozenset({LIPSYNC})],
    ]
)
fuzzed = settings(max_examples=repeats("AVATAR_FUZZ", 20, 400), derandomize=True)


def play(machine: Simulation, arrivals: list[tuple[float, Stage, float, str]]) -> int:
    """Let the jobs come and run; returns how many there were."""
    for after_s, stage, cost_s, line in arrivals:
        end = machine.now + after_s
        machine.run_until(end)
        machine.now = max(machine.now, end)
        machine.drop(stage, cost_s, line)
    machine.finish()
    return len(arrivals)


@fuzzed
@given(MACHINES, ARRIVALS, RESTRICTED)
def test_every_job_runs_once_one_at_a_time_on_each_gpu_and_none_idles_while_it_could_work(
    machine: Simulation, arrivals: list[tuple[float, Stage, float, str]], only: list[frozenset[Stage]]
) -> None:
    if len(machine.slots) > 1:
        for one, stages in zip(machine.slots, only, strict=False):
            one.stages = stages
    every = frozenset[Stage]().union(*(one.stages for one in machine.slots))
    count = play(machine, [arrival for arrival in arrivals if arrival[1] in every])
    assert len({run.job for run in machine.runs}) == len(machine.runs) == count
    for slot in machine.slots:
        runs = [run for run in machine.runs if run.slot == slot.name]
        assert all(one.ended <= other.began + 1e-6 for one, other in itertools.pairwise(runs))
    for seen, choice in machine.choices:
        free = [slot for slot in seen.slots if slot.state == "free"]
        mine = [queue for queue in seen.queues if any(queue.stage in slot.stages for slot in free)]
        if choice is None:  # what waits is left to a GPU that holds its models, for no longer than a load takes
            assert all(seen.now - queue.since < machine.load_s for queue in mine)
            assert all(any(queue.stage in slot.resident for slot in seen.slots) for queue in mine)


@fuzzed
@given(MACHINES, ARRIVALS)
def test_models_are_left_only_for_work_that_is_due_and_then_without_delay(
    machine: Simulation, arrivals: list[tuple[float, Stage, float, str]]
) -> None:
    play(machine, arrivals)
    for seen, choice in machine.choices:
        if choice is None:
            continue
        slot = next(one for one in seen.slots if one.name == choice.slot)
        kept = [queue for queue in seen.queues if queue.stage in slot.resident]
        taken = next(queue for queue in seen.queues if queue.stage == choice.stage)
        still_s = seen.now - taken.since
        if kept and taken.stage not in slot.resident:  # it left them
            fits = slot.free_bytes is not None and slot.free_bytes >= 1
            assert fits or still_s >= machine.stick_s or slot.run >= machine.stick_jobs
        # Nobody who had less, and whose queue has stood still for too long, is passed over for what is loaded
        for queue in seen.queues:
            if seen.now - queue.since >= machine.stick_s and len(seen.slots) == 1:
                assert taken.served_s <= queue.served_s


@fuzzed
@given(MACHINES, ARRIVALS)
def test_the_same_snapshot_gives_the_same_choice_in_whatever_order_it_lists_the_queues(
    machine: Simulation, arrivals: list[tuple[float, Stage, float, str]]
) -> None:
    play(machine, arrivals)
    for seen, choice in machine.choices:
        assert choose(seen) == choice
        assert choose(replace(seen, queues=list(reversed(seen.queues)))) == choice


@fuzzed
@given(st.integers(1, 8), st.floats(1.0, 60.0), st.floats(0.5, 5.0), st.floats(0.0, 20.0))
def test_a_single_job_beside_a_thousand_of_a_batch_waits_a_bounded_time(
    stick_jobs: int, stick_s: float, cost_s: float, load_s: float
) -> None:
    # Given a batch that keeps one model busy / When another person drops a job for another model
    machine = Simulation(load_s=load_s, stick_jobs=stick_jobs, stick_s=stick_s)
    for _ in range(150):
        machine.drop(TTS, cost_s, "batch")
    machine.run_until(load_s + cost_s)  # `stick_jobs` alone would keep the models for longer than `stick_s`
    job = machine.drop(LIPSYNC, cost_s, "anna")
    machine.finish()
    run = next(run for run in machine.runs if run.job == job)
    # Then it waits for no more than `stick_s`, and the job that runs when that is over
    assert run.waited <= stick_s + cost_s + load_s + 1e-6
    # And for no more than `stick_jobs` of the batch
    between = [one for one in machine.runs if run.began - run.waited <= one.began < run.began]
    assert len(between) <= stick_jobs + 1


@settings(fuzzed, max_examples=repeats("AVATAR_FUZZ", 12, 400))  # of 400 jobs each
@given(st.floats(0.5, 20.0), st.floats(0.5, 20.0), st.integers(1, 8), st.integers(1, 2))
def test_shares_of_two_persons_with_endless_work_for_different_models_converge(
    anna_s: float, ben_s: float, stick_jobs: int, room_bytes: int
) -> None:
    machine = Simulation(load_s=5.0, stick_jobs=stick_jobs, stick_s=30.0, room_bytes=room_bytes)
    for _ in range(200):
        machine.drop(TTS, anna_s, "anna")
        machine.drop(LIPSYNC, ben_s, "ben")
    while machine.queue.count(TTS) and machine.queue.count(LIPSYNC):
        machine.step()
        # A turn with one model lasts until the other person's queue has stood still for `stick_s`, and a job ends
        assert abs(machine.served["anna"] - machine.served["ben"]) <= 30.0 + 2 * max(anna_s, ben_s)


def test_a_backlog_that_has_waited_for_hours_does_not_change_the_models_with_each_job() -> None:
    # Given a night's batch: every job has waited longer than `stick_s`
    machine = Simulation(load_s=20.0, stick_jobs=16, stick_s=120.0)
    for _ in range(100):
        machine.drop(TTS, 1.0, "ben")
        machine.drop(LIPSYNC, 1.0, "anna")
    machine.now = 10_000.0
    machine.finish()
    # Then loads take a small part of the time
    loads = sum(run.load_s > 0 for run in machine.runs)
    assert loads <= 200 / 16 + 3


def test_short_jobs_of_a_batch_spread_over_the_gpus() -> None:
    machine = Simulation(slots=2, load_s=5.0)
    for _ in range(100):
        machine.drop(TTS, 1.0, "batch")
    machine.finish()
    assert min(Counter(run.slot for run in machine.runs).values()) >= 40
    assert machine.now <= 100 / 2 + 5.0 + 2.0


def test_every_stage_of_every_lane_can_be_chosen() -> None:
    for stage in STAGES:
        view = SlotView("any", frozenset({stage}))
        assert choose(Snapshot(0.0, [Queue(stage, "a")], [view])) == Choice("any", stage, "a")
