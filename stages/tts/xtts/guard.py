"""Is what the network said what it was given? Judged by what can be measured without understanding it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.tts.timing import STEPS_PER_S, Samples, sounding

#: Letters that are said in a second, numbers written out: slowest, usual, fastest. Chinese, Japanese and Korean count in
#: Latin letters. Arabic writes few vowels, so it has fewer letters for the same sound.
_RATES = {"ar": (4.0, 9.0, 22.0)}
_RATE = (6.0, 14.0, 30.0)
#: Any sentence may take this much longer: a breath, a pause at a comma, a slow last word. s
_SLACK_S = 1.0
#: A sound whose loudest moment is below this is no speech.
_SILENT = 0.003
#: Shortest gap after which what comes may be no part of the sentence. s
_GAP_S = 0.3
#: Room left after the last sound. s
_TAIL_S = 0.08


@dataclass(frozen=True)
class Expected:
    """How long a text should take, in s."""

    least: float
    usual: float
    most: float


def expect(text: str, language: str, speed: float) -> Expected:
    """Bounds for a text whose numbers are written out (and which is in Latin letters, where its script has none)."""
    letters = sum(map(str.isalnum, text))
    slow, usual, fast = _RATES.get(language, _RATE)
    return Expected(letters / fast / speed, letters / usual / speed, (letters / slow + _SLACK_S) / speed)


@dataclass(frozen=True)
class Take:
    """One try at a text.

    Attributes:
        samples: without the silence, or the noise, after the last word.
        faults: what is wrong with it, in words for a person; empty where nothing was found.
        off: how far its length is from the usual one, as a ratio's logarithm; to choose among bad ones.
    """

    samples: Samples
    faults: tuple[str, ...]
    off: float


def judge(samples: Samples, rate: int, expected: Expected, *, at_limit: bool) -> Take:
    """Cut the tail and say what is wrong.

    Args:
        samples: float32 [n].
        at_limit: the network was stopped, it did not end by itself.
    """
    if not len(samples) or not np.isfinite(samples).all():
        return Take(np.zeros(0, np.float32), ("it broke",), float("inf"))
    if float(np.abs(samples).max()) < _SILENT:
        return Take(np.zeros(0, np.float32), ("it is silent",), float("inf"))
    kept, cut = trim_tail(samples, rate, expected)
    seconds = len(kept) / rate
    faults = []
    if at_limit:
        faults.append("it did not come to an end")
    if seconds > expected.most:
        faults.append(f"it took {seconds:.1f} s, where {expected.most:.1f} s is much")
    if seconds < expected.least:
        faults.append(f"it took {seconds:.1f} s, where {expected.least:.1f} s is little")
    if cut and not faults:
        faults.append("more was said than was written, and cut off")
    return Take(kept, tuple(faults), abs(float(np.log(max(seconds, 0.01) / max(expected.usual, 0.01)))))


def trim_tail(samples: Samples, rate: int, expected: Expected) -> tuple[Samples, bool]:
    """Without what follows the last sound; and, where it is too long, without what follows the likeliest gap.

    Returns also whether sound was cut away.
    """
    heard = np.flatnonzero(sounding(samples, rate))
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
