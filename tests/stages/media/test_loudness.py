"""One loudness for all that is spoken, with no peak past the ceiling, whatever the sound is like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.media.limiter_loss import LimiterLoss
from stages.media.loudness import CEILING_DB, MAX_GAIN_DB, TARGET_LUFS, Block, measure_loudness, normalise_loudness
from tests.support.stages.sound_jobs import meter, sound

pytestmark = pytest.mark.usefixtures("models")

RATE = 24_000


def spiky() -> Block:
    """Soft syllables, each begun by a plosive whose peaks lie between the samples: a quarter of the rate at 45°."""
    time = np.arange(8 * RATE) / RATE
    syllables = 0.1 * np.sin(2 * np.pi * 180 * time) * np.maximum(0, np.sin(2 * np.pi * 3 * time))
    burst = np.sin(np.pi / 2 * np.arange(96) + np.pi / 4) * np.hanning(96)
    for start in range(2_000, len(time) - 96, 8_000):
        syllables[start : start + 96] += 0.4 * burst
    return np.asarray(syllables, np.float32)


@pytest.mark.parametrize("gain", [1.0, 2.0, 4.0])
def test_loud_enough_and_never_past_the_ceiling(gain: float, tmp_path: Path) -> None:
    # Given a sound with high peaks over soft speech, in blocks
    whole = spiky() * np.float32(gain)
    blocks = np.array_split(whole, 7)
    # When it is levelled
    normalise_loudness(lambda: blocks, RATE, len(whole), tmp_path / "speech.wav")
    # Then an independent meter finds the loudness, and room above every peak, between the samples too
    loudness, peak = meter(tmp_path / "speech.wav")
    assert abs(loudness + 16) <= 0.3
    assert peak <= -1.0
    # And it is as long as it was, and in its place
    samples, rate = sound(tmp_path / "speech.wav")
    assert (len(samples), rate) == (len(whole), RATE)
    lags = [float(np.dot(np.roll(samples, lag), whole)) for lag in range(-3, 4)]
    assert int(np.argmax(lags)) == 3


def test_silence_stays_silence(tmp_path: Path) -> None:
    # Given a second of nothing / When it is levelled / Then a second of nothing is written
    normalise_loudness(lambda: [np.zeros(RATE, np.float32)], RATE, RATE, tmp_path / "speech.wav")
    samples, _ = sound(tmp_path / "speech.wav")
    assert len(samples) == RATE
    assert not samples.any()


def test_the_limiter_s_loss_is_known_before_it_acts(tmp_path: Path) -> None:
    # Given syllables whose peaks a limiter cuts at the usual loudness
    whole = spiky()
    loss = LimiterLoss(RATE, CEILING_DB, 50)
    for block in np.array_split(whole, 7):
        loss.add(block)
    lufs = measure_loudness([whole], RATE, tmp_path)
    # When the gain is estimated from the envelope
    gain_db = loss.gain_for(TARGET_LUFS - lufs, MAX_GAIN_DB)
    # Then ffmpeg's limiter needs this gain much rather than the one that would do without a limiter
    normalise_loudness(lambda: [whole], RATE, len(whole), tmp_path / "speech.wav")
    voiced = np.abs(whole) > 0.05  # between the peaks, which are far apart
    written, _ = sound(tmp_path / "speech.wav")
    needed_db = 20 * np.log10(np.median(np.abs(written[voiced])) / np.median(np.abs(whole[voiced])))
    assert needed_db - (TARGET_LUFS - lufs) > 1
    assert abs(gain_db - needed_db) < 0.5 * abs(needed_db - (TARGET_LUFS - lufs))
