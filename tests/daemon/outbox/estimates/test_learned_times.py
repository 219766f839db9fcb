"""What is learned of one engine, size or device is not expected of another; what is new is expected to be as usual."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.outbox.estimates.learned_times import REMEMBERED, Conditions, LearnedTimes, from_factors

SMALL = Conditions("tts", "kokoro", 4, "")
LARGE = SMALL._replace(size_s=64)
OTHER = SMALL._replace(engine="xtts")
OTHER_DEVICE = OTHER._replace(device="NVIDIA L4")


def taught(**ratios: float) -> LearnedTimes:
    times = LearnedTimes()
    for _ in range(30):
        for name, ratio in ratios.items():
            times.observe({"small": SMALL, "large": LARGE, "other": OTHER, "device": OTHER_DEVICE}[name], ratio)
    return times


def test_each_engine_size_and_device_has_its_own_factor() -> None:
    times = taught(small=2.0, large=3.0, other=8.0, device=0.5)
    found = [times.expect(one).factor for one in (SMALL, LARGE, OTHER, OTHER_DEVICE)]
    assert found == pytest.approx([2.0, 3.0, 8.0, 0.5], rel=0.01)
    assert times.expect(SMALL).jobs == 30


def test_what_is_new_is_expected_as_the_nearest_that_is_known() -> None:
    times = taught(small=2.0)
    assert times.expect(LARGE).factor == pytest.approx(2.0, rel=0.05)  # the engine at another size
    assert times.expect(OTHER_DEVICE).factor == pytest.approx(2.0, rel=0.01)  # the stage
    assert times.expect(Conditions("encode")) == (1.0, 0)  # a first guess
    # And its first measurement moves it from there
    times.observe(LARGE, 4.0)
    assert times.expect(LARGE).factor == pytest.approx(2.0 + 0.3 * 2.0, rel=0.05)
    assert times.expect(SMALL).factor == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("ratio", [0.1, 5.0])
def test_small_work_says_of_larger_work_what_its_start_costs_and_large_work_how_fast_it_is(ratio: float) -> None:
    # Given videos that are mostly start, and took much less than was guessed, or much more
    times, small = LearnedTimes(), Conditions("encode", "libx264", 1, "")
    for _ in range(60):
        times.observe(small, ratio)
    off_s = ratio - 1.0
    # Then the most of it is not expected again for every second of a video sixty-four times as large
    for size_s in (2, 16, 64):
        expected_s = size_s * times.expect(small._replace(size_s=size_s)).factor
        assert min(size_s, size_s * ratio) < expected_s < max(size_s, size_s * ratio)
        assert expected_s == pytest.approx(size_s + 0.5 * off_s + 0.5 * off_s * size_s, rel=1e-3)
    # And what a large video took is expected of larger ones in proportion
    large = small._replace(engine="other", size_s=64)
    for _ in range(60):
        times.observe(large, ratio)
    assert times.expect(large._replace(size_s=512)).factor == pytest.approx(ratio, rel=0.01)
    # And the nearest size counts
    assert times.expect(large._replace(size_s=32)).factor == pytest.approx(ratio, rel=0.01)


def test_the_engine_and_device_that_ran_last_are_expected_again_also_after_a_start() -> None:
    times = taught(small=2.0, device=0.5)
    for one in (times, LearnedTimes(times.to_json())):
        assert one.usual("tts") == ("xtts", "NVIDIA L4")
        assert one.usual("tts", "kokoro") == ("kokoro", "")
        assert one.usual("face") == ("", "")


@pytest.mark.parametrize(("guess_s", "size_s"), [(0.0, 1), (1.0, 1), (1.1, 2), (64.0, 64), (65.0, 128)])
def test_sizes_double(guess_s: float, size_s: int) -> None:
    assert Conditions.of("tts", guess_s, "", "").size_s == size_s


def test_what_was_met_longest_ago_is_forgotten_first() -> None:
    times = taught(small=2.0)
    for number in range(REMEMBERED):
        times.observe(Conditions("lipsync", f"e{number}", 1), 1.0)
        times.observe(Conditions("lipsync"), 1.0)
    assert len(list(times)) == REMEMBERED
    assert times.expect(SMALL) == (1.0, 0)


@pytest.mark.parametrize(
    "stored",
    [None, {}, "x", [1], [{}], [{"stage": "tts"}], [{"stage": "paint", "factor": 1.0, "jobs": 1}],
     [{"stage": "tts", "factor": "x", "jobs": 1}], [{"stage": "tts", "factor": 1e9, "jobs": 1}],
     [{"stage": "tts", "engine": 5, "factor": 1.0, "jobs": 1}], [{"stage": [], "factor": 1.0, "jobs": 1}],
     from_factors({"tts": float("nan")})],
)  # fmt: skip
def test_what_is_not_valid_is_left_out(stored: Any) -> None:
    assert list(LearnedTimes(stored)) == []
