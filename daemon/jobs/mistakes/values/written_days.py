"""Reads days as people write them, to say how a manifest writes them. None is taken as it is: 3/4 is two days."""

from __future__ import annotations

import calendar
import contextlib
import datetime
import re

_YEAR_FIRST = re.compile(r"(\d{4})(?:\s*[./-]\s*(\d{1,2})\s*[./-]\s*(\d{1,2})|(\d{2})(\d{2}))(?:[T ]\d.*)?")
_DAY_FIRST = re.compile(r"(\d{1,2})\s*[./-]\s*(\d{1,2})\s*[./-]\s*(\d{4}|\d{2})")
#: A year, or a month of one: its last day is meant.
_MONTH = re.compile(r"(?P<year>\d{4})(?:\s*[./-]\s*(?P<month>\d{1,2}))?|(?P<first>\d{1,2})\s*[./-]\s*(?P<then>\d{4})")
_NUMBER = re.compile(r"\d+")
#: How names of months begin in English, German, French, Spanish, Italian, Portuguese and Dutch.
_MONTHS = (
    "jan ene gen", "feb fév fev", "mar mär mrt maa", "apr avr abr", "may mai mag maj mei", "jun juin giu", "jul juil lug",
    "aug août aou ago", "sep set", "oct okt ott out", "nov", "dec dez déc dic",
)  # fmt: skip
#: A length of time from today on.
_LASTING = re.compile(
    r"(?:in |for |after )?(?P<count>\d{1,3})\s*(?P<unit>(?:day|week|month|year)s?|tage?|wochen?|monate?|jahre?)"
)
_DAYS = {"d": 1, "t": 1, "w": 7, "m": 31, "y": 366, "j": 366}
_NO_END = frozenset({"never", "none", "no", "nie", "jamais", "nunca", "mai", "forever"})


def advice_for_day(key: str, text: str) -> str:
    """Return how to write a day: itself where it can be read, or both where it can be read in two ways; else the form. Of a
    month or a year it is the last day.
    """
    if text.casefold() in _NO_END:
        return f"Leave `{key}` out for no end."
    today = datetime.datetime.now(datetime.UTC).date()
    later, real = f"such as `{key}: {today.year + 1}-12-31`.", list[datetime.date]()
    for day in _readings(text):
        with contextlib.suppress(ValueError):
            real.append(datetime.date(*day))
    if lasting := _LASTING.fullmatch(text.casefold()):
        days = int(lasting["count"]) * next(days for unit, days in _DAYS.items() if lasting["unit"].startswith(unit))
        real = [today + datetime.timedelta(days)]
    if to_come := [f"`{key}: {day.isoformat()}`" for day in dict.fromkeys(real) if day >= today]:
        return f"Write {' or '.join(to_come)}."
    if real:
        return f"That day is over. Write a day to come, {later}"
    return f"Write the year first, then the month and the day, {later}"


def _readings(text: str) -> list[tuple[int, int, int]]:
    """Return year, month and day, in each way in which a text can be read."""
    if found := _YEAR_FIRST.fullmatch(text):
        return [(int(found[1]), int(found[2] or found[4]), int(found[3] or found[5]))]
    if found := _MONTH.fullmatch(text):
        return _last_day(int(found["year"] or found["then"]), int(found["month"] or found["first"] or 12))
    if found := _DAY_FIRST.fullmatch(text):
        first, second, year = int(found[1]), int(found[2]), int(found[3]) + (2000 if len(found[3]) == 2 else 0)
        return [(year, second, first), (year, first, second)]
    if (found := re.fullmatch(r"(\d{1,2})[\s.-]+[^\W\d_]+[\s.-]+(\d{2})", text)) and (month := _month_in(text)):
        return [(2000 + int(found[2]), month, int(found[1]))]
    numbers, month = sorted(map(int, _NUMBER.findall(text))), _month_in(text)
    if month and len(numbers) == 1 and numbers[0] > 31:
        return _last_day(numbers[0], month)
    return [(numbers[1], month, numbers[0])] if month and len(numbers) == 2 and numbers[1] > 31 else []


def _last_day(year: int, month: int) -> list[tuple[int, int, int]]:
    return [(year, month, calendar.monthrange(year, month)[1])] if 1 <= month <= 12 and year else []


def _month_in(text: str) -> int | None:
    words = re.findall(r"[^\W\d_]{3,}", text.casefold())
    for number, names in enumerate(_MONTHS, start=1):
        if any(word.startswith(name) for word in words for name in names.split()):
            return number
    return None
