"""Texts and transcripts in one plain form, so that only what was heard is compared and not how it is spelled.

Both sides go through the same steps: lower case; no punctuation; currency, per cent and clock times as words and figures;
number words as figures; neighbouring figures joined ("twenty nineteen" and "2019" are one token, "six forty five" and "6:45"
too); "and" left out everywhere (people and recognisers put it in and out of numbers); a.m., p.m. and "Dr." in one spelling.
Names and all other words must be spelled alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: value for names in (_ONES, _ORDINALS) for value, word in enumerate(names.split())}
_SMALL |= {word: 20 + 10 * at for at, word in enumerate(_TENS)} | {"oh": 0}
_SMALL |= {word[:-1] + "ieth": 20 + 10 * at for at, word in enumerate(_TENS)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}


def plain(text: str) -> list[str]:
    """Return the words of a text in the plain form."""
    text = text.casefold().replace("’", "'")
    text = re.sub(r"\$([\d,]+)\.(\d\d)\b", r"\1 dollars \2 cents", text)
    text = re.sub(r"\$([\d,]*\d)", r"\1 dollars", text)
    text = re.sub(r"(\d),(?=\d{3})", r"\1", text)
    text = re.sub(r"(\d):(\d\d)\b", r"\1 \2", text)
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)
    text = re.sub(r"(\d)(?:st|nd|rd|th)\b", r"\1", text)
    text = re.sub(r"(?<=\d) o (?=\d)", " 0 ", text).replace("per cent", "percent")
    text = text.replace("%", " percent ").replace("a.m.", "am").replace("p.m.", "pm").replace("dr.", "doctor")
    words = [word.replace("'", "") for word in re.findall(r"[a-z0-9']+", text)]
    return _joined(_figures([word for word in words if word != "and"]))


def _figures(words: Sequence[str]) -> list[str]:
    """Number words as figures: "two thousand three hundred fifty" → "2350"."""
    found: list[str] = []
    total = now = 0
    open_ = False  # whether a number is being read
    last = 0  # what the last word of it was worth

    def close() -> None:
        nonlocal total, now, open_, last
        if open_:
            found.append(str(total + now))
        total, now, open_, last = 0, 0, False, 0

    for word in words:
        if word in _LARGE and open_:
            size = _LARGE[word]
            now = max(1, now) * size
            if size >= 1000:
                total, now = total + now, 0
            last = size
        elif word in _SMALL or (word.isdecimal() and open_ and last >= 100):
            value = _SMALL[word] if word in _SMALL else int(word)
            fits = not open_ or last >= 100 or (20 <= last < 100 and 0 < value < 10)
            if not fits:
                close()
            now, open_, last = now + value, True, max(1, value) if value < 100 else 1
        elif word.isdecimal():
            close()
            now, open_, last = int(word), True, 1
            if word.startswith("0") and len(word) > 1:
                found.append(word)
                total, now, open_ = 0, 0, False
        else:
            close()
            found.append(word)
    close()
    return found


def _joined(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if found and word.isdecimal() and found[-1].isdecimal():
            found[-1] += word
        else:
            found.append(word)
    return found


def errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of words to change, put in or take out."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(reference, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1]
