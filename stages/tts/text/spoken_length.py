"""Estimates the duration of a spoken text: bounds for every voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.media.fullwidth import is_unspaced

#: A Chinese or Japanese character takes as long to say as this many Latin letters.
UNSPACED_LETTERS = 3

#: Letters per second, numbers written out: slowest, usual, fastest. Chinese, Japanese and Korean are counted in Latin
#: letters. Arabic omits most vowels, so it has fewer letters for the same sound.
_RATES = {"ar": (4.0, 9.0, 22.0)}
_RATE = (6.0, 14.0, 30.0)
#: Added to the longest duration, for breaths, pauses and a slow last word. s
_SLACK_S = 1.0

#: Slowest and fastest rate, and slack, for text as written, where a sign may be a word and some letters are silent.
_WRITTEN_SLOWEST, _WRITTEN_FASTEST, _WRITTEN_SLACK_S = 3.0, 45.0, 4.0
#: Letters counted for a figure or sign, which may be spoken as a word.
_FIGURE_LETTERS = 8


@dataclass(frozen=True)
class ExpectedLength:
    """Shortest, usual and longest plausible duration of a text, in s."""

    least: float
    usual: float
    most: float


def letters_of(word: str) -> int:
    """Count the length of a word in Latin letters; every sign counts as one."""
    return sum(UNSPACED_LETTERS if is_unspaced(char) else 1 for char in word)


def expected_length(text: str, language: str, speed: float) -> ExpectedLength:
    """Return bounds for a text with its numbers in words; scripts without letters must be transcribed to Latin.

    Args:
        language: primary language of a BCP 47 tag.
        speed: 1 is the usual pace; 2 twice as fast.
    """
    letters = sum(map(str.isalnum, text))
    slow, usual, fast = _RATES.get(language, _RATE)
    return ExpectedLength(letters / fast / speed, letters / usual / speed, (letters / slow + _SLACK_S) / speed)


def expected_length_as_written(words: Sequence[str], speed: float) -> ExpectedLength:
    """Return wider bounds for words in any language as written, including figures and signs."""
    chars = [char for word in words for char in word]
    least = sum(map(str.isalnum, chars))
    most = sum(UNSPACED_LETTERS if is_unspaced(char) else 1 if char.isalpha() else _FIGURE_LETTERS for char in chars)
    usual = _RATE[1]
    return ExpectedLength(
        least / _WRITTEN_FASTEST / speed, least / usual / speed, (most / _WRITTEN_SLOWEST + _WRITTEN_SLACK_S) / speed
    )
