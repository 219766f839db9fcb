"""Phrases amounts of money, dates, ordinals, fractions and telephone numbers in English; keeps plain figures."""

from __future__ import annotations

import re

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: Sign → (unit, its plural, the hundredth part, its plural).
MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
}
_CODES = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "AU$": "A$",
    "CA$": "C$",
    "AUD": "A$",
    "CAD": "C$",
}
CURRENCY = "|".join(map(re.escape, sorted([*MONEY, *_CODES], key=len, reverse=True)))
#: Abbreviations of large numbers.
LARGE = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
         "tn": "trillion"}  # fmt: skip
_PARTS = {"2": "half", "3": "third", "4": "quarter", "5": "fifth", "6": "sixth", "8": "eighth"}


def plain_number(text: str) -> str:
    """Replace a decimal comma ("2,50") by a point; keeps commas between thousands."""
    return re.sub(r",(?=\d{1,2}$)", ".", text)


def large_number(short: str | None) -> str:
    """Expand the abbreviation of a large number: "bn" → "billion"; returns other words unchanged."""
    word = (short or "").strip(" -")
    return LARGE.get(word.casefold(), word)


def amount(currency: str, number: str, short: str | None = None, *, one: bool = False) -> str:
    """Phrase an amount of money: ("$", "1.5", "M") → "1.5 million dollars".

    Args:
        one: use the singular, as in "a 5 dollar bill".
    """
    single, several, part, parts = MONEY[_CODES.get(currency, currency)]
    name = single if one else several
    number = plain_number(number)
    if short:
        return f"{number} {large_number(short)} {name}"
    whole, _, rest = number.partition(".")
    if not rest.strip("0"):
        return f"{whole} {single if whole == '1' else name}"
    if len(rest) > 2 or not part:
        return f"{number} {name}"
    cents = int(rest.ljust(2, "0"))
    small = f"{cents} {part if cents == 1 else parts}"
    return small if not whole.strip("0") else f"{whole} {single if whole == '1' else several} and {small}"


def amounts(currency: str, low: str, low_short: str | None, high: str, high_short: str | None) -> str:
    """Phrase a range of amounts: "5 to 10 dollars"; "5 dollars and 50 cents to 10 dollars" where there are cents."""
    if low_short and large_number(low_short) != large_number(high_short):
        return f"{low} {large_number(low_short)} to {amount(currency, high, high_short)}"
    if high_short or "." not in low + high:
        return f"{low} to {amount(currency, high, high_short)}"
    return f"{amount(currency, low)} to {amount(currency, high)}"


def date(year: str, month: str, day: str, *, day_first: bool) -> str | None:
    """Phrase a date given in figures; None if it does not exist."""
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    name = MONTHS[int(month) - 1]
    if len(year) == 2:
        year = f"{'19' if int(year) > 40 else '20'}{year}"
    return f"{int(day)} {name} {year}" if day_first else f"{name} {int(day)}, {year}"


def full_name(names: tuple[str, ...], short: str) -> str:
    """Expand the abbreviation of a month or weekday: "Thurs." → "Thursday"."""
    return next(name for name in names if name.startswith(short[:3].capitalize()))


def ordinal(number: int) -> str:
    """Write an ordinal in figures: 1 → "1st"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def digits(text: str) -> str:
    """Separate figures, with a comma between groups: "(555) 123" → "5 5 5, 1 2 3"."""
    groups = re.findall(r"\+|\d+|X", text)
    said = ", ".join("plus" if group == "+" else " ".join(group) for group in groups)
    return said.replace("plus,", "plus")


def fraction(above: str, below: str) -> str:
    """Phrase a fraction: ("3", "4") → "3 quarters", ("1", "2") → "a half"."""
    part = _PARTS.get(below, f"{below}th")
    return f"a {part}".replace("a eighth", "an eighth") if above == "1" else f"{above} {part}s"
