"""Recordings of any length are cut where nobody speaks, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from stages.media.wav import Samples
from stages.transcribe.base import RATE
from stages.transcribe.chunks import LONGEST_S, SHORTEST_S, cut_chunks


def _blocks(samples: Samples) -> Iterator[Samples]:
    yield from np.array_split(samples, 37)


def _speech(seconds: float, pauses: list[float]) -> Samples:
    """Noise with pauses of 0.3 s around the given moments."""
    samples = np.random.default_rng(7).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    for pause in pauses:
        samples[round((pause - 0.15) * RATE) : round((pause + 0.15) * RATE)] = 0.0
    return samples


def test_chunks_end_in_pauses_and_hold_all_that_is_said() -> None:
    pauses = [20.0, 41.0, 60.0]
    samples = _speech(75.0, pauses)
    chunks = list(cut_chunks(_blocks(samples), RATE))
    assert [round(chunk.end, 1) for chunk in chunks] == [*pauses, 75.0]
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]


def test_speech_without_a_pause_is_cut_all_the_same() -> None:
    chunks = list(cut_chunks(_blocks(_speech(100.0, [])), RATE))
    assert all(SHORTEST_S <= chunk.end - chunk.start <= LONGEST_S for chunk in chunks[:-1])
    assert sum(len(chunk.samples) for chunk in chunks) == 100 * RATE


@pytest.mark.parametrize("seconds", [0.0, 0.01, 90.0])
def test_silence_is_not_heard(seconds: float) -> None:
    assert list(cut_chunks(_blocks(np.zeros(round(seconds * RATE), np.float32)), RATE)) == []


def test_times_are_those_of_the_recording_at_its_own_rate() -> None:
    rate = 48_000
    samples = np.random.default_rng(7).normal(0, 0.1, 40 * rate).astype(np.float32)
    samples[18 * rate : round(18.4 * rate)] = 0.0
    first, second = cut_chunks(_blocks(samples), rate)
    assert first.end == pytest.approx(18.2, abs=0.1)
    assert second.end == pytest.approx(40.0, abs=0.01)
