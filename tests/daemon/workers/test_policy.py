"""The lanes' choices."""

from __future__ import annotations

from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.steady_clock import SteadyClock
from daemon.workers.policy import SHORT_S, Waiting, choose_cpu, choose_first, choose_gpu


def gpu(queues: dict[Stage, Waiting], loaded: Stage | None, run: int = 1, now: float = 100.0) -> Stage | None:
    return choose_gpu(queues, loaded, run, now, stick_jobs=4, stick_s=60.0)


def test_the_lane_stays_with_the_loaded_model_while_it_has_work() -> None:
    # Given work for both stages, the other's older / When tts is loaded / Then tts goes on
    queues: dict[Stage, Waiting] = {"tts": Waiting(3, 99.0, 0), "lipsync": Waiting(5, 90.0, 0)}
    assert gpu(queues, "tts") == "tts"


def test_it_changes_after_a_bounded_number_of_jobs_and_a_bounded_wait() -> None:
    queues: dict[Stage, Waiting] = {"tts": Waiting(3, 99.0, 0), "lipsync": Waiting(5, 90.0, 0)}
    assert gpu(queues, "tts", run=4) == "lipsync"
    assert gpu(queues, "tts", now=150.0) == "lipsync"


def test_urgent_work_elsewhere_changes_the_model_at_once() -> None:
    queues: dict[Stage, Waiting] = {"tts": Waiting(3, 99.0, 0), "lipsync": Waiting(1, 99.0, 10)}
    assert gpu(queues, "tts") == "lipsync"
    assert gpu(queues, "lipsync", run=99) == "lipsync"


def test_nothing_waits_and_only_others_wait() -> None:
    assert gpu({}, "tts") is None
    assert gpu({"lipsync": Waiting(1, 0.0, 0)}, "tts") == "lipsync"


def test_cpu_delivers_first_and_keeps_a_process_free_for_short_stages() -> None:
    queues: dict[Stage, Waiting] = {"face": Waiting(9, 0.0, 0), "encode": Waiting(9, 0.0, 0)}
    assert choose_cpu({**queues, "deliver": Waiting(1, 0.0, 0)}, 0, 2, 0) == "deliver"
    assert choose_cpu(queues, long=0, processes=2, ahead=0) == "face"  # the gpu lane would starve
    assert choose_cpu(queues, long=0, processes=2, ahead=9) == "encode"
    assert choose_cpu({"encode": Waiting(9, 0.0, 0)}, long=1, processes=2, ahead=9) is None
    assert choose_cpu({"encode": Waiting(9, 0.0, 0)}, long=0, processes=1, ahead=9) == "encode"


def test_short_stages_of_a_batch_do_not_keep_others_from_their_videos() -> None:
    # Given thousands of short stages of one line, and an encoding of another one
    def queues(served_s: float, priority: int = 0) -> dict[Stage, Waiting]:
        return {"info": Waiting(9999, 0.0, priority, served_s), "encode": Waiting(1, 50.0, 0, 0.0)}

    # Then they go first for a while, the encoding then, and they again where they are more urgent
    assert choose_cpu(queues(served_s=1.0), 0, 2, 9) == "info"
    assert choose_cpu(queues(served_s=SHORT_S + 1), 0, 2, 9) == "encode"
    assert choose_cpu(queues(served_s=SHORT_S + 1, priority=1), 0, 2, 9) == "info"


def test_a_job_ends_before_others_of_its_line_begin_and_who_had_less_goes_first() -> None:
    queues: dict[Stage, Waiting] = {"info": Waiting(9999, 0.0, 0, 5.0), "deliver": Waiting(1, 90.0, 0, 5.0)}
    assert choose_first(queues) == "deliver"
    assert choose_first({**queues, "check": Waiting(1, 99.0, 0, 4.0)}) == "check"


def job(number: int, priority: int = 0, not_before: float = 0.0) -> Job:
    return Job(
        f"job-20260101T000000Z-{number:08x}",
        f"n{number}",
        "n.yaml",
        stage="tts",
        priority=priority,
        accepted=float(number),
        not_before=not_before,
    )


def test_the_board_orders_by_priority_then_age_and_holds_back_the_delayed() -> None:
    # Given an old job, an urgent one and one that is delayed
    ready_queue = ReadyQueue(SteadyClock(lambda: 0.0, lambda: 0.0))
    for one in (job(1), job(2, priority=10), job(3, priority=99, not_before=50.0)):
        ready_queue.add(one)
    # Then the urgent one is first, and the delayed one comes up when its time has come
    head = ready_queue.head("tts", 0.0)
    assert head is not None
    assert head.id == job(2).id
    late = ready_queue.head("tts", 50.0)
    assert late is not None
    assert late.id == job(3).id
    # And a removed job is never given out
    ready_queue.remove(job(3).id)
    again = ready_queue.head("tts", 51.0)
    assert again is not None
    assert again.id == job(2).id
    assert ready_queue.count("tts") == 2
