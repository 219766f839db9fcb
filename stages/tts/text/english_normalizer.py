"""Runs hibari's normaliser of English ("7:30 pm" → "seven thirty P.M.") and prevents its known mistakes.

It turns "James Cameron" into "James the zeroth Cameron", "the book I read" into "the book one read", and "Oh no." into
"Oh number". An invisible mark in such places keeps its patterns from matching, and is removed afterwards.
"""

from __future__ import annotations

import re

from hibari.g2p import numbers
from hibari.g2p.normalize import ROMAN_CARDINAL, ROMAN_ORDINAL, normalize

_MARK = "\u2060"  # a word joiner; `clean_text` has removed it from all text
_NUMBERED = "|".join(map(re.escape, sorted({*ROMAN_CARDINAL, *ROMAN_ORDINAL}, key=len, reverse=True)))
#: Roman numerals below ninety; single letters in "Type C" and "Grade L" are not numerals.
_NUMERAL = r"(?:XL|L(?=[XVI])|)X{0,3}(?:IX|IV|V?I{0,3})(?![A-Za-z]|['’.]\w)"
_GUARDS = (
    # "James Cameron", "Chapter Changes", "USB Type C": no numeral, though it begins with a letter of one
    re.compile(rf"\b(?:{_NUMBERED}) (?=[IVXLC])(?!{_NUMERAL})"),
    # "the book I read", "the part I like"
    re.compile(r"\b(?:chapter|part|section|volume|book|phase|article|type|level|stage|class|grade|round) (?=I [a-z])"),
    # "Oh no. He left.", "The answer is no."
    re.compile(r"\b[Nn]o(?=\.(?! ?\d))"),
    # "Gen Z" is no general
    re.compile(r"\bGen(?= (?:[XYZ]|Alpha|Beta|AI)\b)"),
    # "under the Sun."
    re.compile(r"\b[Tt]he (?:Sun|sun)(?=\.)"),
)
#: "Henry VIII's", which the normaliser handles only without the possessive.
_POSSESSIVE = re.compile(r"\b([A-Z][a-z]{2,15}) ([IVX]{2,6})(?=['’]s\b)")
_ROMAN = {"I": 1, "V": 5, "X": 10}


def normalize_english(text: str) -> str:
    """Write times, dates, units, abbreviations and Roman numerals in words; keeps plain numbers."""
    text = _POSSESSIVE.sub(_say_numeral, text)
    for guard in _GUARDS:
        text = guard.sub(lambda found: found[0] + _MARK, text)
    return str(normalize(text)).replace(_MARK, "")


def _say_numeral(found: re.Match[str]) -> str:
    number = _roman_value(found[2])
    return f"{found[1]} {numbers.cardinal(number) if found[1] in ROMAN_CARDINAL else f'the {numbers.ordinal(number)}'}"


def _roman_value(letters: str) -> int:
    values = [_ROMAN[letter] for letter in letters]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))
