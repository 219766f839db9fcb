"""Is what the network said what it was given? Judged by what can be measured without understanding it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.tts.engines.speech_check import SILENT_PEAK, length_faults
from stages.tts.text.spoken_length import ExpectedLength
from stages.tts.timing import STEPS_PER_S, Samples, audible_steps

#: Shortest gap after which what comes may be no part of the sentence. s
_GAP_S = 0.3
#: Room left after the last sound. s
_TAIL_S = 0.08


@dataclass(frozen=True)
class Attempt:
    """One try at a text.

    Attributes:
        samples: without the silence, or the noise, after the last word.
        faults: what is wrong with it, in words for a person; empty where nothing was found.
        length_error: how far its length is from the usual one, as a ratio's logarithm; to choose among bad ones.
    """

    samples: Samples
    faults: tuple[str, ...]
    length_error: float


def judge_attempt(samples: Samples, rate: int, expected: ExpectedLength, *, at_limit: bool) -> Attempt:
    """Cut the tail and say what is wrong.

    Args:
        samples: float32 [n].
        at_limit: the network was stopped, it did not end by itself.
    """
    if not len(samples) or not np.isfinite(samples).all():
        return Attempt(np.zeros(0, np.float32), ("it broke",), float("inf"))
    if float(np.abs(samples).max()) < SILENT_PEAK:
        return Attempt(np.zeros(0, np.float32), ("it is silent",), float("inf"))
    kept, cut = trim_tail(samples, rate, expected)
    seconds = len(kept) / rate
    faults: list[str] = []
    if at_limit:
        faults.append("it did not come to an end")
    faults += length_faults(seconds, expected.least, expected.most)
    if cut and not faults:
        faults.append("more was said than was written, and cut off")
    return Attempt(kept, tuple(faults), abs(float(np.log(max(seconds, 0.01) / max(expected.usual, 0.01)))))


def trim_tail(samples: Samples, rate: int, expected: ExpectedLength) -> tuple[Samples, bool]:
    """Without what follows the last sound; and, where it is too long, without what follows the likeliest gap.

    Returns also whether sound was cut away.
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
