"""What a machine makes in a day follows from what it has measured, and says how much of it that is."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from daemon.cli.capacity import DAY_S, capacity, slots_here
from daemon.outbox.estimates.learned_times import Conditions, LearnedTimes
from daemon.outbox.estimator import Work

SLOTS = slots_here({}, 3)
SIZE = (512, 512)


def measured(*engines: tuple[str, str, float], length_s: float = 30.0, size: tuple[int, int] = SIZE) -> LearnedTimes:
    """Times of a video: stage, engine, seconds."""
    times, work = LearnedTimes(), Work.of_video(length_s, size, Fraction(25))
    for stage, engine, seconds in engines:
        guess_s = work.first_guess_s(stage)
        for _ in range(60):
            times.observe(Conditions.of(stage, guess_s, engine, ""), seconds / guess_s, work.size(stage))
    return times


def test_the_busiest_lane_bounds_the_day() -> None:
    times = measured(("check", "", 0.1), ("face", "mediapipe", 0.5), ("tts", "kokoro", 4.0), ("lipsync", "warp", 2.0),
                     ("encode", "libx264", 10.0), ("deliver", "", 0.1))  # fmt: skip
    (row,) = capacity(times, SLOTS, [30.0], [SIZE])
    # Of three workers two draw: five seconds for each video; the voice lane takes six
    assert row.limit == "voice"
    assert row.a_day == pytest.approx(DAY_S / 6.0, rel=0.01)
    assert row.engines == {"tts": "kokoro", "lipsync": "warp"}
    assert (row.measured, row.alike) == pytest.approx((1.0, 0.0))
    # And of two workers one draws
    (row,) = capacity(times, slots_here({}, 2), [30.0], [SIZE])
    assert row.limit == "long"
    assert row.a_day == pytest.approx(DAY_S / 10.0, rel=0.01)
    # And an engine of the GPU counts there
    times = measured(("tts", "xtts", 20.0), ("lipsync", "musetalk", 30.0))
    (row,) = capacity(times, SLOTS, [30.0], [SIZE])
    assert row.limit == "gpu"
    assert row.a_day == pytest.approx(DAY_S / 50.0, rel=0.01)


def test_what_was_not_measured_is_said_to_be_guessed() -> None:
    (guessed,) = capacity(LearnedTimes(), SLOTS, [30.0], [SIZE])
    assert (guessed.measured, guessed.alike, guessed.engines) == (0.0, 0.0, {})
    (partly,) = capacity(measured(("encode", "libx264", 10.0)), SLOTS, [30.0], [SIZE])
    assert 0.3 < partly.measured < 0.9
    (other,) = capacity(measured(("encode", "libx264", 10.0)), SLOTS, [300.0], [SIZE])
    assert (other.measured, other.alike > 0.5) == (0.0, True)


@pytest.mark.parametrize(
    ("size", "measured_part"), [((128, 128), 1.0), ((144, 128), 1.0), ((512, 512), 0.4), ((720, 720), 0.35)]
)
def test_what_was_measured_at_another_size_only_is_said_to_be_scaled(
    size: tuple[int, int], measured_part: float
) -> None:
    # Given short videos of 128 px, which take about as long as large ones
    times = measured(("check", "", 0.1), ("face", "mediapipe", 0.5), ("tts", "kokoro", 1.0), ("lipsync", "warp", 0.5),
                     ("encode", "libx264", 2.0), ("deliver", "", 0.1), length_s=3.0, size=(128, 128))  # fmt: skip
    # Then what depends on the pixels is measured at this size alone, also after a start of the daemon
    for known in (times, LearnedTimes(json.loads(json.dumps(times.to_json())))):
        (row,) = capacity(known, SLOTS, [3.0], [size])
        assert row.measured == pytest.approx(measured_part, abs=0.15)
        assert row.measured + row.alike == pytest.approx(1.0)
    # And what depends on the length at this length
    (long,) = capacity(times, SLOTS, [6.0], [size])
    assert long.measured < 0.3


def test_each_pair_of_engines_has_a_row() -> None:
    times = measured(("tts", "kokoro", 4.0), ("tts", "xtts", 20.0), ("lipsync", "warp", 2.0))
    rows = list(capacity(times, SLOTS, [30.0, 60.0], [SIZE]))
    assert [(row.engines["tts"], row.seconds) for row in rows] == [
        ("xtts", 30.0), ("xtts", 60.0), ("kokoro", 30.0), ("kokoro", 60.0),
    ]  # fmt: skip


def test_each_gpu_of_the_daemon_counts() -> None:
    times = measured(("tts", "xtts", 20.0), ("lipsync", "musetalk", 30.0))
    (row,) = capacity(times, slots_here({"slots": [{"gpu": "0"}, {"gpu": "1"}]}, 3), [30.0], [SIZE])
    assert row.a_day == pytest.approx(2 * DAY_S / 50.0, rel=0.01)
    assert slots_here({"slots": []}, 3) == SLOTS
    assert SLOTS.count == {"gpu": 1, "voice": 1, "cpu": 3}


def test_a_stage_that_is_bound_to_one_gpu_bounds_the_day() -> None:
    times = measured(("tts", "xtts", 20.0), ("lipsync", "musetalk", 30.0))
    bound = [{"gpu": "0", "stages": ["generate", "tts"]}, {"gpu": "1", "stages": ["generate", "lipsync"]}]
    (row,) = capacity(times, slots_here({"slots": bound}, 3), [30.0], [SIZE])
    # The GPU of the mouth has the more work, with which the other one does not help
    assert row.a_day == pytest.approx(DAY_S / 30.0, rel=0.01)
    half_bound = [
        {"gpu": "0", "stages": ["generate", "tts", "lipsync"]},
        {"gpu": "1", "stages": ["generate", "lipsync"]},
    ]
    (row,) = capacity(times, slots_here({"slots": half_bound}, 3), [30.0], [SIZE])
    assert row.a_day == pytest.approx(2 * DAY_S / 50.0, rel=0.01)
