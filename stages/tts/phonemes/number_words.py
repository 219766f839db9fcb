"""Writes figures, money, dates and abbreviations in words, separately for each written word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.tts.phonemes.number_formats import NumberFormats

_AMOUNT = r"\d+(?:[.,\u2009\u202f ]?\d+)*"
_NUMBER = re.compile(rf"[-−]?{_AMOUNT}")
#: With the other decimal separator, as in Mexico: 1,250.50. Ambiguous numbers such as 1,250 follow the language.
_OTHER_POINT = re.compile(r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}")
_CENTS = re.compile(r"[.,](\d\d)$")
#: Day, month, year; a year of two figures only where the whole date has two of each: 1.2.10 is a version.
_DATE = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})|(\d{4})-(\d\d)-(\d\d)|(\d\d)([/.])(\d\d)\8(\d\d)")
_LAST_OF_THIS_CENTURY = 40  # '41 is 1941
_DAY = re.compile(r"([1-9]|[12]\d|3[01])\.")
_CLOCK = re.compile(r"([01]?\d|2[0-4])([:h])([0-5]\d)?h?")
_WITH_UNIT = re.compile(rf"([-−]?{_AMOUNT})([^\d\s.,:;/+()-].*)")
_WITH_SIGN = re.compile(rf"([^\d\s.,:;/()+-]+)({_AMOUNT})")
_ROMAN = re.compile(r"(X{0,3})(IX|IV|V?I{0,3})(er|re|e)?")
_ORDINAL = re.compile(r"(\d+)([^\W\d]+)")
_ONES = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}


def spoken_forms(words: Sequence[str], formats: NumberFormats) -> list[str]:
    """Return the spoken form of each word; empty for a sign that is spoken with the amount beside it ("20 €").

    Args:
        words: without the signs around them, but with the full stop of an abbreviation.
        formats: of the language.
    """
    keys = ["", *(word.casefold() for word in words), ""]
    is_number = [False, *(_is_number(word) for word in words), False]
    found: list[str] = []
    for at, word in enumerate(words, 1):
        before, key, after = keys[at - 1 : at + 2]
        if is_number[at]:
            first, second = _number_and_unit(word, before if before in formats.money else after, formats)
            joined = before in formats.money or _is_sign(after)
            found.append(f"{first} {second}".strip() if joined else first)
        elif is_number[at - 1] and _is_unit(key, formats):
            found.append("" if _is_sign(key) else _number_and_unit(words[at - 2], key, formats)[1])
        elif (key in formats.money and is_number[at + 1]) or (
            key == formats.clock and _clock_time(words[at - 2] if at > 1 else "", formats)
        ):
            found.append("")
        elif (day := _DAY.fullmatch(word)) and formats.days and after.capitalize() in formats.months:
            found.append(formats.days[int(day[1]) - 1])
        else:
            found.append(formats.words.get(key) or _single_word(word, formats))
    return found


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None and _DATE.fullmatch(word) is None


def _is_sign(key: str) -> bool:
    return bool(key) and not any(map(str.isalnum, key))


def _is_unit(key: str, formats: NumberFormats) -> bool:
    return key in formats.money or key in formats.units or key == "%"


def _number_and_unit(number: str, unit: str, formats: NumberFormats) -> tuple[str, str]:
    """Return the spoken forms of a number and of its unit or currency; the latter empty for another word."""
    if unit in formats.money:
        return _money_amount(number, unit, formats)
    if unit == "%":
        return _signed_number(number, formats), unit
    one, many = formats.units.get(unit, ("", ""))
    return (formats.one, one) if number == "1" and one else (_signed_number(number, formats), many)


def _signed_number(number: str, formats: NumberFormats) -> str:
    if not formats.minus:
        return number
    sign, figures = (f"{formats.minus} ", number[1:]) if number[0] in "-−" else ("", number)
    if formats.point == "," and _OTHER_POINT.fullmatch(figures):
        figures = figures.replace(",", "").replace(".", ",")
    return sign + figures


def _money_amount(number: str, sign: str, formats: NumberFormats) -> tuple[str, str]:
    one, many, parts = formats.money[sign]
    cents = _CENTS.search(number)
    whole = re.sub(r"\D", "", number[: cents.start()] if cents else number)
    minus = f"{formats.minus} " if number[0] in "-−" else ""
    figures, name = (formats.one, one) if whole == "1" else (whole, many)
    return minus + figures, f"{name} {parts.format(int(cents[1]))}" if cents and int(cents[1]) else name


def _single_word(word: str, formats: NumberFormats) -> str:
    """Return the spoken form of a date, a time, or a number with its unit in one word; other words unchanged."""
    if formats.months and (date := _DATE.fullmatch(word)):
        day, month, year = _parts_of_date(date)
        if 1 <= month <= 12 and 1 <= day <= 31:
            return formats.date.format(formats.days[day - 1] if formats.days else day, formats.months[month - 1], year)
    if clock := _clock_time(word, formats):
        return clock
    joined = _WITH_SIGN.fullmatch(word)
    if joined and joined[1].casefold() in formats.money:
        return " ".join(_money_amount(joined[2], joined[1].casefold(), formats))
    joined = _WITH_UNIT.fullmatch(word)
    if joined and joined[2].casefold() in (*formats.money, *formats.units):
        return " ".join(_number_and_unit(joined[1], joined[2].casefold(), formats))
    return _ordinal(word, formats)


def _parts_of_date(date: re.Match[str]) -> tuple[int, int, int]:
    """Return day, month and year. The day comes first, but where only the second number can be one: 12/25/2024."""
    parts = (date[1] or date[6] or date[7], date[2] or date[5] or date[9], date[3] or date[4] or date[10])
    day, month, year = map(int, parts)
    if year < 100:
        year += 2000 if year <= _LAST_OF_THIS_CENTURY else 1900
    return (month, day, year) if "/" in date[0] and month > 12 >= day else (day, month, year)


def _clock_time(word: str, formats: NumberFormats) -> str:
    """Return the spoken form of a time such as 14:30; empty for another word."""
    clock = _CLOCK.fullmatch(word)
    if clock is None or clock[2] not in formats.times or not (clock[3] or clock[2] == "h"):
        return ""
    hours, minutes = int(clock[1]), int(clock[3] or 0)
    return formats.minutes.format(hours, minutes) if minutes else formats.hour.format(hours)


def _ordinal(word: str, formats: NumberFormats) -> str:
    ending, read = formats.ordinal
    roman = _ROMAN.fullmatch(word) if formats.roman else None
    if roman and len(word) > 1:
        number = 10 * len(roman[1]) + _ONES[roman[2]]
        return f"{number}{read if roman[3] == ending else roman[3] or ''}"
    figures = _ORDINAL.fullmatch(word)
    return f"{figures[1]}{read}" if figures and ending and figures[2] == ending else word
