"""Recognises lines with several keys, and lines with a key and no colon."""

from __future__ import annotations

import re

from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.mistakes.proposals import is_allowed

#: Keys whose value may be any words.
FREE_TEXTS = ("text", "prompt", "negative", "title")
_NAMES = "|".join(sorted(Manifest.model_fields, key=len, reverse=True))
_KEY = re.compile(
    rf"""(?P<before>^|[,;]\s*+|(?<!\s)\s++)(?P<sign>["']?)(?P<key>{_NAMES})(?P=sign)\s*[:=]\s*""", re.IGNORECASE
)
_FILE = re.compile(r"[^\s,;]+\.\w{2,5}")
#: A key, and a value behind a blank or a sign that is no colon.
_NO_COLON = re.compile(rf"(?P<key>{_NAMES})(?:\s*(?:[-=]>|[-–—>|~])\s*|\s+)(?P<value>\S.*)", re.IGNORECASE)
_NOT_A_VALUE = "no such value"


def keys_in_line(text: str) -> list[str] | None:
    """Return the lines `key: value` that one line without indentation holds; None where it has not several that are right."""
    found = [one for one in _KEY.finditer(text) if not _is_quoted(text, one.start("key") - len(one["sign"]))]
    if len(found) < 2 or found[0].start() or len({one["key"].lower() for one in found}) < len(found):
        return None
    starts = [one.start() for one in found[1:]]
    first = text[found[0].end() : starts[0]].strip()
    if found[0]["key"].lower() in FREE_TEXTS and not _whole_quotes(first) and not all(map(_is_parted, found[1:])):
        return None  # "Read the title: it is good" is a text
    lines = []
    for one, end in zip(found, [*starts, len(text)], strict=True):
        key, value = one["key"].lower(), text[one.end() : end].strip().rstrip(",;")
        if not value or value[0] in "{[|>" or not is_allowed(f"{key}: {value}"):
            return None
        if key in COMPANIONS and not _FILE.fullmatch(value.strip("\"'")):
            return None
        lines.append(f"{key}: {value}")
    return lines


def missing_colon(text: str) -> tuple[str, str | None] | None:
    """Return the key of a line without a colon, and the line with it where its value is one of this key; None for others."""
    if (found := _NO_COLON.fullmatch(text.strip())) is None:
        return (text.strip().lower(), None) if text.strip().lower() in Manifest.model_fields else None
    key, value = found["key"].lower(), found["value"].strip()
    line = f"{key}: {value}"
    known = _FILE.fullmatch(value) if key in COMPANIONS else not is_allowed(f"{key}: {_NOT_A_VALUE}")
    return key, line if known and is_allowed(line) else None


def _is_parted(found: re.Match[str]) -> bool:
    return bool(found["before"].strip())


def _whole_quotes(value: str) -> bool:
    return re.fullmatch(r"""(["'])(?:(?!\1).)*\1""", value) is not None


def _is_quoted(text: str, place: int) -> bool:
    """Return whether a place of a line lies between double quotes."""
    return text.count('"', 0, place) % 2 == 1
