"""Judges by measurements whether the network's sound can be the text that it was given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.tts.engines.speech_check import SILENT_PEAK, length_faults
from stages.tts.text.spoken_length import ExpectedLength
from stages.tts.timing import STEPS_PER_S, Samples, audible_steps

#: Shortest gap at which sound after the sentence may be cut off. s
_GAP_S = 0.3
#: Silence kept after the last sound. s
_TAIL_S = 0.08


@dataclass(frozen=True)
class Attempt:
    """One attempt at a portion of text.

    Attributes:
        samples: float32 [n], without what follows the last word.
        faults: what is wrong with it, as phrases for a message; empty for nothing.
        length_error: absolute logarithm of its length over the usual length, to choose among bad attempts.
    """

    samples: Samples
    faults: tuple[str, ...]
    length_error: float


def judge_attempt(samples: Samples, rate: int, expected: ExpectedLength, *, at_limit: bool) -> Attempt:
    """Trim the tail and find faults.

    Args:
        samples: float32 [n].
        rate: Hz.
        expected: plausible durations.
        at_limit: True if generation was stopped at a limit.
    """
    if not len(samples) or not np.isfinite(samples).all():
        return Attempt(np.zeros(0, np.float32), ("it contains NaN or infinity, or is empty",), float("inf"))
    if float(np.abs(samples).max()) < SILENT_PEAK:
        return Attempt(np.zeros(0, np.float32), ("it is silent",), float("inf"))
    kept, cut = trim_tail(samples, rate, expected)
    seconds = len(kept) / rate
    faults: list[str] = []
    if at_limit:
        faults.append("it did not end by itself")
    faults += length_faults(seconds, expected.least, expected.most)
    if cut and not faults:
        faults.append("sound after the text was cut off")
    return Attempt(kept, tuple(faults), abs(float(np.log(max(seconds, 0.01) / max(expected.usual, 0.01)))))


def trim_tail(samples: Samples, rate: int, expected: ExpectedLength) -> tuple[Samples, bool]:
    """Cut off the silence after the last sound; where the sound is too long, cut at the likeliest gap.

    Returns the samples, and True if sound was cut off.
    """
    heard = np.flatnonzero(audible_steps(samples, rate))
    if not len(heard):
        return samples[:0], False
    end = (int(heard[-1]) + 1) / STEPS_PER_S
    cut = False
    if end > expected.most:
        gaps = np.flatnonzero(np.diff(heard) > _GAP_S * STEPS_PER_S)
        ends = (heard[gaps] + 1) / STEPS_PER_S
        ends = ends[(ends >= expected.least) & (ends <= expected.most)]
        if len(ends):
            end, cut = float(ends[np.argmin(np.abs(ends - expected.usual))]), True
    return samples[: round((end + _TAIL_S) * rate)], cut
