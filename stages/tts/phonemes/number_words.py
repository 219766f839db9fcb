"""Figures, money, dates and abbreviations as words, by a language's habits. Each written word keeps its own saying."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.tts.phonemes.number_formats import Habits

_AMOUNT = r"\d+(?:[.,\u2009\u202f ]?\d+)*"
_NUMBER = re.compile(rf"[-−]?{_AMOUNT}")
#: As in English and in Mexico: 1,250.50. What might be either, such as 1,250, is taken as the language has it.
_OTHER_POINT = re.compile(r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}")
_CENTS = re.compile(r"[.,](\d\d)$")
_DATE = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})|(\d{4})-(\d\d)-(\d\d)")
_CLOCK = re.compile(r"([01]?\d|2[0-4])([:h])([0-5]\d)?h?")
_WITH_UNIT = re.compile(rf"([-−]?{_AMOUNT})([^\d\s.,:;/+()-].*)")
_WITH_SIGN = re.compile(rf"([^\d\s.,:;/()+-]+)({_AMOUNT})")
_ROMAN = re.compile(r"(X{0,3})(IX|IV|V?I{0,3})(er|re|e)?")
_ORDINAL = re.compile(r"(\d+)([^\W\d]+)")
_ONES = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}


def said(words: Sequence[str], habits: Habits) -> list[str]:
    """What is said for each word; empty for a sign that is said with the amount beside it: captions keep "20 €" together.

    Args:
        words: without the signs around them, but with the full stop of an abbreviation.
    """
    keys = ["", *(word.casefold() for word in words), ""]
    is_number = [False, *(_NUMBER.fullmatch(word) is not None for word in words), False]
    found: list[str] = []
    for at, word in enumerate(words, 1):
        before, key, after = keys[at - 1 : at + 2]
        if is_number[at]:
            first, second = _counted(word, before if before in habits.money else after, habits)
            joined = before in habits.money or _is_sign(after)
            found.append(f"{first} {second}".strip() if joined else first)
        elif is_number[at - 1] and _measures(key, habits):
            found.append("" if _is_sign(key) else _counted(words[at - 2], key, habits)[1])
        elif key in habits.money and is_number[at + 1]:
            found.append("")
        else:
            found.append(habits.words.get(key) or _alone(word, habits))
    return found


def _is_sign(key: str) -> bool:
    return bool(key) and not any(map(str.isalnum, key))


def _measures(key: str, habits: Habits) -> bool:
    return key in habits.money or key in habits.units or key == "%"


def _counted(number: str, unit: str, habits: Habits) -> tuple[str, str]:
    """What is said for a number, and for the unit or currency after it; nothing for what is neither."""
    if unit in habits.money:
        return _amount(number, unit, habits)
    if unit == "%":
        return _signed(number, habits), unit
    one, many = habits.units.get(unit, ("", ""))
    return (habits.one, one) if number == "1" and one else (_signed(number, habits), many)


def _signed(number: str, habits: Habits) -> str:
    sign, figures = (f"{habits.minus} ", number[1:]) if number[0] in "-−" else ("", number)
    if habits.point == "," and _OTHER_POINT.fullmatch(figures):
        figures = figures.replace(",", "").replace(".", ",")
    return sign + figures


def _amount(number: str, sign: str, habits: Habits) -> tuple[str, str]:
    one, many, parts = habits.money[sign]
    cents = _CENTS.search(number)
    whole = re.sub(r"\D", "", number[: cents.start()] if cents else number)
    minus = f"{habits.minus} " if number[0] in "-−" else ""
    figures, name = (habits.one, one) if whole == "1" else (whole, many)
    return minus + figures, f"{name} {parts.format(int(cents[1]))}" if cents and int(cents[1]) else name


def _alone(word: str, habits: Habits) -> str:
    """A word that is a date, a time, or a number joined with its sign; any other as it is."""
    if date := _DATE.fullmatch(word):
        day, month, year = map(int, (date[1] or date[6], date[2] or date[5], date[3] or date[4]))
        if 1 <= month <= 12 and 1 <= day <= 31:
            return habits.date.format(day, habits.months[month - 1], year)
    clock = _CLOCK.fullmatch(word)
    if clock and clock[2] in habits.times and (clock[3] or clock[2] == "h"):
        hours, minutes = int(clock[1]), int(clock[3] or 0)
        return habits.minutes.format(hours, minutes) if minutes else habits.hour.format(hours)
    joined = _WITH_SIGN.fullmatch(word)
    if joined and joined[1].casefold() in habits.money:
        return " ".join(_amount(joined[2], joined[1].casefold(), habits))
    joined = _WITH_UNIT.fullmatch(word)
    if joined and joined[2].casefold() in (*habits.money, *habits.units):
        return " ".join(_counted(joined[1], joined[2].casefold(), habits))
    return _ordinal(word, habits)


def _ordinal(word: str, habits: Habits) -> str:
    ending, read = habits.ordinal
    roman = _ROMAN.fullmatch(word) if habits.roman else None
    if roman and len(word) > 1:
        number = 10 * len(roman[1]) + _ONES[roman[2]]
        return f"{number}{read if roman[3] == ending else roman[3] or ''}"
    figures = _ORDINAL.fullmatch(word)
    return f"{figures[1]}{read}" if figures and ending and figures[2] == ending else word
