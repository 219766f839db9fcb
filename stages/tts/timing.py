"""Durations of phoneme characters → when each phone and each word is heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stages.tts.hibari import PAD, SAMPLE_RATE, UNIT_S, Samples, Utterance
from stages.tts.sentences import Sentence

#: The network's durations run late against its sound by this much (three units).
LATE_S = 0.075
#: Step in which loudness is looked at.
HOP = SAMPLE_RATE // 100  # 240 samples, 10 ms
#: What is this far below the loudest moment of an utterance is silence, and so is what is below the floor. dB
SILENT_DB, FLOOR_DB = -40.0, -65.0
#: Shortest pause worth closing the mouth for.
MIN_GAP_S = 0.05

_STRESS = {"ˈ": 1, "ˌ": 2}
_PAUSES = frozenset({PAD, *';:,.!?—…"()“”'})
_JOINED = frozenset("ː̃ʰʲᵝ→↓↗↘")  # modify the phone before them


@dataclass(frozen=True)
class Phone:
    """One speech sound: symbol, times in s, index of its word, stress of its syllable (0 none, 1 main, 2 second)."""

    phone: str
    start: float
    end: float
    word: int
    stress: int


@dataclass(frozen=True)
class Word:
    """One caption word, as written, with times in s and the index of its sentence."""

    text: str
    start: float
    end: float
    sentence: int


def loudness(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """RMS of each 10 ms, in dB of full scale; length ceil(len(samples) / HOP)."""
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % HOP)).reshape(-1, HOP)
    return np.asarray(10.0 * np.log10(np.maximum((padded**2).mean(axis=1), 1e-12)))


def sounding(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which 10 ms steps are not silence."""
    level = loudness(samples)
    return np.asarray(level > max(FLOOR_DB, float(level.max(initial=FLOOR_DB)) + SILENT_DB))


def phones_of(utterance: Utterance) -> list[Phone]:
    """Phones of an utterance, times from its first sample; they touch inside a phrase and leave gaps at pauses."""
    edges = np.concatenate([[0], np.cumsum(utterance.units)]) * UNIT_S - LATE_S
    total = len(utterance.samples) / SAMPLE_RATE
    loud = sounding(utterance.samples)
    found: list[Phone] = []
    start, stress, pause = 0.0, 0, False
    pending = False  # a stress mark waits for its vowel, which begins where the mark does
    for index, char in enumerate(utterance.chars):
        at = max(0.0, float(edges[index]))
        if char in _STRESS:
            start, stress, pending = at, _STRESS[char], True
        elif char in _PAUSES:
            pause = True
        elif char != " " and char not in _JOINED:
            begin = start if pending else at
            if found and char == "ɹ" and found[-1].phone == "ɜ" and not pause:
                found[-1] = replace(found[-1], phone="ɜɹ")
                continue
            if found:
                found[-1] = _closed(found[-1], begin, pause, loud)
            found.append(Phone(char, begin, begin, utterance.owners[index], stress))
            stress, pause, pending = 0, False, False
    if found:
        found[-1] = _closed(found[-1], total, True, loud)
    return found


def _closed(phone: Phone, following: float, pause: bool, loud: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Phone:
    """The phone with its end: the next one's start, or, before a pause, where its sound dies away.

    The network gives the silence of a pause to the phone before it, so only the sound tells where that one ends.
    """
    if not pause:
        return replace(phone, end=following)
    first, last = round(phone.start * 100), round(following * 100)
    heard = np.flatnonzero(loud[first:last])
    end = (first + int(heard[-1]) + 1) / 100 if len(heard) else phone.start
    end = min(max(end, phone.start + UNIT_S), following)
    return replace(phone, end=following if following - end < MIN_GAP_S else end)


def audible_span(samples: Samples, phones: Sequence[Phone]) -> tuple[int, int]:
    """First and last sample worth keeping: all sound and all phones, with a little room before and after."""
    heard = np.flatnonzero(sounding(samples))
    first = min([phone.start for phone in phones[:1]] + [float(step) / 100 for step in heard[:1]], default=0.0)
    last = max([phone.end for phone in phones[-1:]] + [float(step + 1) / 100 for step in heard[-1:]], default=0.0)
    begin = max(0, round((first - 0.03) * SAMPLE_RATE))
    return begin, max(begin, min(len(samples), round((last + 0.06) * SAMPLE_RATE)))


def _readable(text: str) -> bool:
    return any(map(str.isalnum, text))


def spoken_words(
    sentences: Sequence[Sentence], phones: Iterable[Phone]
) -> tuple[list[Sentence], list[Word], list[Phone]]:
    """Gather phones (whose `word` counts all written words) into words, so that every word has a time.

    A written word without sound ("—", "🎉", the "Rs" of "Rs 500") joins a neighbour of its own sentence; a sentence
    without any sound joins the next one, or the last. Joined with spaces, the words are still the whole text.
    """
    sounds: dict[int, list[Phone]] = {}
    for phone in phones:
        sounds.setdefault(phone.word, []).append(phone)
    words: list[Word] = []
    kept: list[Phone] = []
    owners: list[int] = []  # for each kept word the index of its sentence in `sentences`
    carried, index = "", -1
    for number, sentence in enumerate(sentences):
        last_sound = max((index + 1 + at for at in range(len(sentence.words)) if index + 1 + at in sounds), default=-1)
        for text in sentence.words:
            index += 1
            mine = sounds.get(index)
            if mine:
                kept += [replace(phone, word=len(words)) for phone in mine]
                words.append(Word(carried + text, mine[0].start, mine[-1].end, -1))
                owners.append(number)
                carried = ""
            elif not carried and owners[-1:] == [number] and (index > last_sound or not _readable(text)):
                words[-1] = replace(words[-1], text=f"{words[-1].text} {text}")
            else:  # "Rs" in "Rs 500", which is said "500 rupees"
                carried += f"{text} "
    if carried and words:
        words[-1] = replace(words[-1], text=f"{words[-1].text} {carried.rstrip()}")
    order = {number: place for place, number in enumerate(dict.fromkeys(owners))}
    words = [replace(word, sentence=order[number]) for word, number in zip(words, owners, strict=True)]
    said = [
        Sentence(tuple(word.text for word in words if word.sentence == place), sentences[number].ends_paragraph)
        for number, place in order.items()
    ]
    return said, words, kept
