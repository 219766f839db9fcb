"""Defines phones and words with times, the common form of every engine's timing, and finds silence in a sound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stages.tts.text.sentences import Sentence

Samples = npt.NDArray[np.float32]

#: Number of steps per second in which levels are measured.
STEPS_PER_S = 100
#: A step is silent when its level is this far below the loudest step, or below the floor. dB, dB of full scale
RELATIVE_SILENCE_DB, FLOOR_DB = -40.0, -65.0
#: Symbol of a phone that stands for a whole word whose place is estimated and whose sounds are unknown.
UNKNOWN_PHONE = ""


@dataclass(frozen=True)
class Phone:
    """One speech sound.

    Attributes:
        phone: symbol in misaki's alphabet, or `UNKNOWN_PHONE`.
        start, end: s.
        word: index of its word.
        stress: of its syllable: 0 none, 1 primary, 2 secondary.
    """

    phone: str
    start: float
    end: float
    word: int
    stress: int


@dataclass(frozen=True)
class Word:
    """One caption word.

    Attributes:
        text: as written, punctuation attached.
        start, end: s.
        sentence: index of its sentence.
        glued: no space stands before it, as in Chinese.
    """

    text: str
    start: float
    end: float
    sentence: int
    glued: bool = False


def step_levels(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """Return the RMS level of each 10 ms step, in dB of full scale, float64 [steps].

    Silence fills the last step where it is shorter.
    """
    steps = -(-len(samples) * STEPS_PER_S // rate)
    edges = np.arange(steps + 1) * rate // STEPS_PER_S
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    sums = np.diff(power[np.minimum(edges, len(samples))])
    return np.asarray(10.0 * np.log10(np.maximum(sums / np.diff(edges), 1e-12)))


def audible_steps(samples: Samples, rate: int) -> npt.NDArray[np.bool_]:
    """Return which 10 ms steps are not silent, bool [steps]."""
    level = step_levels(samples, rate)
    return np.asarray(level > max(FLOOR_DB, float(level.max(initial=FLOOR_DB)) + RELATIVE_SILENCE_DB))


def audible_span(samples: Samples, rate: int, phones: Sequence[Phone]) -> tuple[int, int]:
    """Return the first sample to keep and the end: all audible steps and all phones, with a short margin."""
    heard = np.flatnonzero(audible_steps(samples, rate))
    first = min([phone.start for phone in phones[:1]] + [float(step) / STEPS_PER_S for step in heard[:1]], default=0.0)
    last = max(
        [phone.end for phone in phones[-1:]] + [float(step + 1) / STEPS_PER_S for step in heard[-1:]], default=0.0
    )
    begin = max(0, round((first - 0.03) * rate))
    return begin, max(begin, min(len(samples), round((last + 0.06) * rate)))


def _is_spoken(text: str) -> bool:
    return any(map(str.isalnum, text))


def timed_words(
    sentences: Sequence[Sentence], phones: Iterable[Phone]
) -> tuple[list[Sentence], list[Word], list[Phone]]:
    """Combine phones (whose `word` counts all written words) into words with times.

    A written word without sound ("—", "🎉", the "Rs" of "Rs 500") is joined to a neighbour in its sentence; a sentence
    without any sound is joined to the next one, or the last. The words joined are still the whole text.

    Returns the sentences, words and phones that remain; `Phone.word` and `Word.sentence` index them.
    """
    sounds: dict[int, list[Phone]] = {}
    for phone in phones:
        sounds.setdefault(phone.word, []).append(phone)
    words: list[Word] = []
    kept: list[Phone] = []
    owners: list[int] = []  # for each kept word the index of its sentence in `sentences`
    carried = Word("", 0.0, 0.0, -1)
    index = -1
    for number, sentence in enumerate(sentences):
        last_sound = max((index + 1 + at for at in range(len(sentence.words)) if index + 1 + at in sounds), default=-1)
        for at, text in enumerate(sentence.words):
            index += 1
            word = Word(text, 0.0, 0.0, -1, at in sentence.glued)
            mine = sounds.get(index)
            if mine:
                kept += [replace(phone, word=len(words)) for phone in mine]
                words.append(replace(_join_words(carried, word), start=mine[0].start, end=mine[-1].end))
                owners.append(number)
                carried = replace(carried, text="")
            elif not carried.text and owners[-1:] == [number] and (index > last_sound or not _is_spoken(text)):
                words[-1] = _join_words(words[-1], word)
            else:  # "Rs" in "Rs 500", which is said "500 rupees"
                carried = _join_words(carried, word)
    if carried.text and words:
        words[-1] = _join_words(words[-1], carried)
    order = {number: place for place, number in enumerate(dict.fromkeys(owners))}
    words = [replace(word, sentence=order[number]) for word, number in zip(words, owners, strict=True)]
    by_sentence: dict[int, list[Word]] = {}
    for word, number in zip(words, owners, strict=True):
        by_sentence.setdefault(number, []).append(word)
    return [_timed_sentence(mine, sentences[number]) for number, mine in by_sentence.items()], words, kept


def _join_words(first: Word, second: Word) -> Word:
    """Return the first with the text of the second, or the second where there is no first."""
    if not first.text:
        return second
    return replace(first, text=f"{first.text}{second.text}" if second.glued else f"{first.text} {second.text}")


def _timed_sentence(mine: Sequence[Word], written: Sentence) -> Sentence:
    glued = frozenset(at for at, word in enumerate(mine) if word.glued)
    return Sentence(tuple(word.text for word in mine), written.ends_paragraph, glued=glued)
