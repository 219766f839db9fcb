"""Writes English times, dates, years and titles in words, for engines whose front end ignores the context of figures."""

from __future__ import annotations

import re

from hibari.g2p import numbers

from stages.tts.text.english_normalizer import normalize_english
from stages.tts.text.rules import Rule

_TITLES = {"Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus"}
_TITLE = re.compile(rf"\b({'|'.join(_TITLES)})\b(?!\.\w)\.?(?= [A-Z])")
#: Four figures without a comma are usually a year: "1990", "the 1990s".
_YEAR = re.compile(r"(?<![\w.,$€£])([1-9]\d{3})(s?)(?!\w|[.,]\d)")
_DECADE = re.compile(r"(?<!\w)['’]?([2-9])0s\b")


def _in_words(found: re.Match[str]) -> str:
    text = _TITLE.sub(lambda title: _TITLES[title[1]], normalize_english(found[0]))
    text = _YEAR.sub(lambda year: _plural(numbers.year(int(year[1])), year[2]), text)
    return _DECADE.sub(lambda decade: _plural(numbers.cardinal(int(decade[1]) * 10), "s"), text)


def _plural(name: str, ending: str) -> str:
    return f"{name[:-1]}ies" if ending and name.endswith("y") else f"{name}{ending}"


#: Applies to a whole sentence, after all other rules.
IN_WORDS = Rule(re.compile(r".+"), _in_words)
