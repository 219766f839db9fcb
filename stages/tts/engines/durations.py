"""Converts durations of phoneme characters to phones with times, for networks that take phonemes.

The networks of hibari and kokoro share one alphabet and one unit of duration.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stages.tts.phonemes.reading import NO_WORD
from stages.tts.timing import STEPS_PER_S, Phone, Samples, audible_steps

SAMPLE_RATE = 24_000  # Hz
UNIT_SAMPLES = 600  # samples of sound for each unit of a duration
UNIT_S = UNIT_SAMPLES / SAMPLE_RATE  # 0.025 s
#: The silent symbol that the network expects at both ends.
PAD = ""
#: The durations lag behind the sound by this much (three units). s
DURATIONS_LATE_S = 0.075
#: Shortest pause in which the mouth closes. s
MIN_GAP_S = 0.05

_STRESS = {"ˈ": 1, "ˌ": 2}
_PAUSES = frozenset({PAD, *';:,.!?—…"()“”'})
_MODIFIERS = frozenset("ːˑʰʲʷˤᵝʼ'#-→↓↗↘")  # modify the phone before them, as combining marks and numbers of tones do


@dataclass(frozen=True)
class Utterance:
    """The output of the network for one reading.

    Attributes:
        samples: float32 at `sample_rate`, nominally within ±1.
        chars: the phoneme characters, with `PAD` at both ends.
        owners: index of the word of each character, or `NO_WORD`.
        units: duration of each character; `sum(units) * unit_samples == len(samples)`.
        sample_rate: Hz.
        unit_samples: samples in one unit.
        late_s: lag of the durations behind the sound, s.
    """

    samples: Samples
    chars: tuple[str, ...]
    owners: tuple[int, ...]
    units: tuple[int, ...]
    sample_rate: int = SAMPLE_RATE
    unit_samples: int = UNIT_SAMPLES
    late_s: float = DURATIONS_LATE_S


def spelled_utterance(
    run: Sequence[tuple[str, int]],
    spelled: Sequence[tuple[str, int]],
    counts: Sequence[int],
    samples: Samples,
    sample_rate: int,
    unit_samples: int,
    ends: tuple[int, int] = (0, 0),
) -> Utterance:
    """Return the utterance of a network whose alphabet differs from the front end's.

    Args:
        run: the front end's (character, word) pairs.
        spelled: (letter of the network, index in `run`) pairs.
        counts: duration of each of `spelled`, in units of `unit_samples`.
        samples: the sound; the durations do not lag behind it.
        ends: durations of the silence before and after `spelled`.
    """
    units = [0] * len(run)
    for (_, owner), count in zip(spelled, counts, strict=True):
        units[owner] += count
    return Utterance(
        samples=samples,
        chars=(PAD, *(char for char, _ in run), PAD),
        owners=(NO_WORD, *(word for _, word in run), NO_WORD),
        units=(ends[0], *units, ends[1]),
        sample_rate=sample_rate,
        unit_samples=unit_samples,
        late_s=0.0,
    )


def share_blanks(units: Sequence[int]) -> list[int]:
    """Divide the durations of blanks (every second one, from the first) between their neighbours; keeps the sum."""
    own = list(units[1::2])
    if own:
        for place, blank in enumerate(units[0::2]):
            left, right = max(place - 1, 0), min(place, len(own) - 1)
            own[left] += blank // 2
            own[right] += blank - blank // 2
    return own


def phones_of(utterance: Utterance) -> list[Phone]:
    """Return the phones of an utterance, times in s from its first sample, without gaps inside a phrase."""
    rate, unit_s = utterance.sample_rate, utterance.unit_samples / utterance.sample_rate
    edges = np.concatenate([[0], np.cumsum(utterance.units)]) * unit_s - utterance.late_s
    total = len(utterance.samples) / rate
    loud = audible_steps(utterance.samples, rate)
    found: list[Phone] = []
    start, stress, pause = 0.0, 0, False
    pending = False  # after a stress mark: the next phone begins where the mark does
    for index, char in enumerate(utterance.chars):
        at = max(0.0, float(edges[index]))
        if char in _STRESS:
            start, stress, pending = at, _STRESS[char], True
        elif char in _PAUSES:
            pause = True
        elif char != " " and not _is_modifier(char):
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


def _is_modifier(char: str) -> bool:
    return char in _MODIFIERS or unicodedata.category(char)[0] in "MN"


def _with_end(phone: Phone, following: float, pause: bool, loud: npt.NDArray[np.bool_]) -> Phone:
    """Set the end of a phone: the start of the next one, or, before a pause, the end of its sound.

    The network counts the silence of a pause to the phone before it, so the end must be found in the sound.
    """
    if not pause:
        return replace(phone, end=following)
    first, last = round(phone.start * STEPS_PER_S), round(following * STEPS_PER_S)
    heard = np.flatnonzero(loud[first:last])
    end = (first + int(heard[-1]) + 1) / STEPS_PER_S if len(heard) else phone.start
    end = min(max(end, phone.start + UNIT_S), following)
    return replace(phone, end=following if following - end < MIN_GAP_S else end)
