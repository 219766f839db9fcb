"""Sound at another sample rate: at its time, with nothing folded into it, however long it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from stages.media.resample import resample
from stages.media.wav import Samples


def converted(samples: Samples, rate: int, blocks: int = 7) -> Samples:
    return np.concatenate(list(resample(np.array_split(samples, blocks), rate, 16_000)))


@pytest.mark.parametrize("rate", [48_000, 44_100, 24_000, 22_050])
def test_resampling_keeps_time_and_lets_nothing_fold(rate: int) -> None:
    # Given tones that 16 kHz can hold, and two that it cannot
    time = np.arange(3 * rate) / rate
    low, edge, *high = (
        converted(np.sin(2 * np.pi * hertz * time).astype(np.float32), rate) for hertz in (1000, 7200, 8200, 9500)
    )
    # Then the ones are the same tones at the same time, and the others are gone
    inner = slice(500, 47_000)
    for hertz, tone in ((1000, low), (7200, edge)):
        assert len(tone) == 48_000
        assert np.abs(tone - np.sin(2 * np.pi * hertz * np.arange(48_000) / 16_000))[inner].max() < 2e-3
    assert max(np.abs(tone[inner]).max() for tone in high) < 1e-5


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
@pytest.mark.parametrize("count", [0, 1, 1001, 70_000])
def test_the_length_is_known_and_blocks_leave_no_seam(rate: int, count: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, count).astype(np.float32)
    whole = converted(noise, rate, 1)
    assert len(whole) == round(count * 16_000 / rate)
    assert np.array_equal(converted(noise, rate, 9), whole)


def test_sound_without_end_is_passed_on_while_it_comes() -> None:
    # Given a minute in blocks of a second
    given = 0

    def blocks() -> Iterator[Samples]:
        nonlocal given
        for _ in range(60):
            given += 1
            yield np.zeros(48_000, np.float32)

    # Then no more than two seconds are ever held back
    passed = 0
    for block in resample(blocks(), 48_000, 16_000):
        passed += len(block)
        assert given * 16_000 - passed <= 32_000
    assert passed == 60 * 16_000
