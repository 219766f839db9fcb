"""Writes timing.json: times of sentences, words and phones, in one form for synthesized and recorded speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.tts.text.sentences import Sentence
from stages.tts.timing import UNKNOWN_PHONE, Phone, Word, timed_words
from stages.tts.track import save_timing


def write_timing(
    path: Path,
    engine: str,
    method: str,
    rate: int,
    duration: float,
    language: str,
    sentences: Sequence[Sentence] = (),
    phones: Sequence[Phone] = (),
) -> dict[str, Any]:
    """Write timing.json and return its content.

    Phones named `UNKNOWN_PHONE` give times to their words and are left out of the file. Where most words have only these,
    `method` becomes "energy": the mouth then follows the loudness.

    Args:
        method: "exact" or "aligned".
        rate: Hz.
        duration: s.
        phones: times in s; `word` counts the words of all sentences.
    """
    said, words, found = timed_words(sentences, phones)
    known = [phone for phone in found if phone.phone != UNKNOWN_PHONE]
    if 2 * len({phone.word for phone in known}) < max(1, len(words)):
        method, known = "energy", []
    timing = {
        "version": 1,
        "engine": engine,
        "method": method,
        "sample_rate": rate,
        "duration": duration,
        "language": language,
        "sentences": _sentence_entries(said, words),
        "words": [_word_entry(word) for word in words],
        "phones": [_rounded(asdict(phone)) for phone in known],
    }
    save_timing(path, timing)
    return timing


def _sentence_entries(said: Sequence[Sentence], words: Sequence[Word]) -> list[dict[str, Any]]:
    spans, index = [], 0
    for sentence in said:
        last = index + len(sentence.words) - 1
        spans.append(_rounded({"text": sentence.text, "start": words[index].start, "end": words[last].end}))
        index = last + 1
    return spans


def _word_entry(word: Word) -> dict[str, Any]:
    """Return a word's entry, with `glued` only where it is true."""
    entry = _rounded(asdict(word))
    return entry if word.glued else {key: value for key, value in entry.items() if key != "glued"}


def _rounded(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "start": round(entry["start"], 4), "end": round(entry["end"], 4)}
