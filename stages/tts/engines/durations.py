"""Durations of phoneme characters → when each phone is heard. For the networks that read phonemes: hibari and kokoro.

Both read the same alphabet and round a duration for each of its characters, counted in the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stages.tts.timing import STEPS_PER_S, Phone, Samples, audible_steps

SAMPLE_RATE = 24_000  # Hz
UNIT_SAMPLES = 600  # samples of sound for each unit of a duration
UNIT_S = UNIT_SAMPLES / SAMPLE_RATE  # 0.025 s
#: The symbol the network wants at both ends; it is silent.
PAD = ""
#: The network's durations run late against its sound by this much (three units).
DURATIONS_LATE_S = 0.075
#: Shortest pause worth closing the mouth for.
MIN_GAP_S = 0.05

_STRESS = {"ˈ": 1, "ˌ": 2}
_PAUSES = frozenset({PAD, *';:,.!?—…"()“”'})
_MODIFIERS = frozenset("ː̃ʰʲᵝ→↓↗↘")  # modify the phone before them


@dataclass(frozen=True)
class Utterance:
    """What the network made of one reading.

    Attributes:
        samples: float32 at `sample_rate`, nominally within ±1.
        chars: the phoneme characters it read, with `PAD` at both ends.
        owners: word of each character, or `NO_WORD`.
        units: duration of each character; `sum(units) * unit_samples == len(samples)`.
        late_s: how late the durations run against the sound.
    """

    samples: Samples
    chars: tuple[str, ...]
    owners: tuple[int, ...]
    units: tuple[int, ...]
    sample_rate: int = SAMPLE_RATE
    unit_samples: int = UNIT_SAMPLES
    late_s: float = DURATIONS_LATE_S


def phones_of(utterance: Utterance) -> list[Phone]:
    """Phones of an utterance, times from its first sample; they touch inside a phrase and leave gaps at pauses."""
    rate, unit_s = utterance.sample_rate, utterance.unit_samples / utterance.sample_rate
    edges = np.concatenate([[0], np.cumsum(utterance.units)]) * unit_s - utterance.late_s
    total = len(utterance.samples) / rate
    loud = audible_steps(utterance.samples, rate)
    found: list[Phone] = []
    start, stress, pause = 0.0, 0, False
    pending = False  # a stress mark waits for its vowel, which begins where the mark does
    for index, char in enumerate(utterance.chars):
        at = max(0.0, float(edges[index]))
        if char in _STRESS:
            start, stress, pending = at, _STRESS[char], True
        elif char in _PAUSES:
            pause = True
        elif char != " " and char not in _MODIFIERS:
            begin = start if pending else at
            if found and char == "ɹ" and found[-1].phone == "ɜ" and not pause:
                found[-1] = replace(found[-1], phone="ɜɹ")
                continue
            if found:
                found[-1] = _with_end(found[-1], begin, pause, loud)
            found.append(Phone(char, begin, begin, utterance.owners[index], stress))
            stress, pause, pending = 0, False, False
    if found:
        found[-1] = _with_end(found[-1], total, True, loud)
    return found


def _with_end(phone: Phone, following: float, pause: bool, loud: npt.NDArray[np.bool_]) -> Phone:
    """The phone with its end: the next one's start, or, before a pause, where its sound dies away.

    The network gives the silence of a pause to the phone before it, so only the sound tells where that one ends.
    """
    if not pause:
        return replace(phone, end=following)
    first, last = round(phone.start * STEPS_PER_S), round(following * STEPS_PER_S)
    heard = np.flatnonzero(loud[first:last])
    end = (first + int(heard[-1]) + 1) / STEPS_PER_S if len(heard) else phone.start
    end = min(max(end, phone.start + UNIT_S), following)
    return replace(phone, end=following if following - end < MIN_GAP_S else end)
