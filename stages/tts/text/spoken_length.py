"""How long a text should take to say: bounds that hold for every voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.media.fullwidth import unspaced

#: A Chinese or Japanese character takes as long to say as this many Latin letters.
UNSPACED_LETTERS = 3

#: Letters that are said in a second, numbers written out: slowest, usual, fastest. Chinese, Japanese and Korean count in
#: Latin letters. Arabic writes few vowels, so it has fewer letters for the same sound.
_RATES = {"ar": (4.0, 9.0, 22.0)}
_RATE = (6.0, 14.0, 30.0)
#: Any sentence may take this much longer: a breath, a pause at a comma, a slow last word. s
_SLACK_S = 1.0

#: The same for text as it is written, where a figure or a sign may stand for a word and some letters for nothing.
_WRITTEN_SLOWEST, _WRITTEN_FASTEST, _WRITTEN_SLACK_S = 3.0, 45.0, 4.0
#: Letters of the longest word that a figure or a sign stands for.
_FIGURE_LETTERS = 8


@dataclass(frozen=True)
class ExpectedLength:
    """How long a text should take, in s."""

    least: float
    usual: float
    most: float


def letters_of(word: str) -> int:
    """How much a word is to say, in Latin letters; every sign counts as one."""
    return sum(UNSPACED_LETTERS if unspaced(char) else 1 for char in word)


def expected_length(text: str, language: str, speed: float) -> ExpectedLength:
    """Bounds for a text whose numbers are written out (and which is in Latin letters, where its script has none)."""
    letters = sum(map(str.isalnum, text))
    slow, usual, fast = _RATES.get(language, _RATE)
    return ExpectedLength(letters / fast / speed, letters / usual / speed, (letters / slow + _SLACK_S) / speed)


def expected_length_as_written(words: Sequence[str], speed: float) -> ExpectedLength:
    """Wider bounds, for words in any language as they are written, figures and signs among them."""
    chars = [char for word in words for char in word]
    least = sum(map(str.isalnum, chars))
    most = sum(UNSPACED_LETTERS if unspaced(char) else 1 if char.isalpha() else _FIGURE_LETTERS for char in chars)
    usual = _RATE[1]
    return ExpectedLength(
        least / _WRITTEN_FASTEST / speed, least / usual / speed, (most / _WRITTEN_SLOWEST + _WRITTEN_SLACK_S) / speed
    )
