"""Mends values in braces and brackets (`motion: {head: 0}`) whose signs are wrong or missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemon.jobs.mistakes.proposals import is_allowed

#: Keys whose value is a list or has keys of its own.
COLLECTIONS = ("template", "metadata", "lexicon", "motion", "expressions", "profile")
_CLOSERS = {"{": "}", "[": "]"}
_ENTRY = r"[A-Za-z_]\w*\s*:\s"
#: A blank between a value and the next key, or between two entries of a list.
_NO_COMMA = re.compile(rf"(?<=[^\s,{{\[:])\s+(?={_ENTRY})|(?<=[}}\]])\s*(?=[{{\[])")


def mended_line(key: str, value: str) -> str | None:
    """Return the line `key: value` with whole brackets, and with commas between its entries; None where that makes no line that
    is allowed.
    """
    lines = (f"{key}: {' '.join(one.split())}" for one in _mended(value))
    return next((line for line in lines if is_allowed(line)), None)


def how_to_write_entries(key: str) -> str:
    """Return how a value with entries is written without braces and brackets."""
    begin = "two blanks, a hyphen and a blank" if key == "expressions" else "two blanks"
    return f"Write each entry in a line of its own below `{key}:`, with {begin} before it; a value with a colon goes in quotes."


def _mended(value: str) -> Iterator[str]:
    """Yield the values that may be meant, that with the fewest changes first."""
    bare = value.strip().rstrip(",;")
    if bare[:1] not in _CLOSERS:
        bare = f"{{{bare}}}"
    yield _with_closers(bare)
    if "'" in bare or '"' in bare:
        return  # a sign between quotes is a part of the value
    parted = re.sub(r"\s*;", ",", bare)
    yield _with_closers(parted)
    with_colons = re.sub(r"(\w)\s*=\s*|(?<=[A-Za-z_]):(?=[\d.])", lambda found: f"{found[1] or ''}: ", parted)
    yield _with_closers(_NO_COMMA.sub(", ", with_colons))


def _with_closers(value: str) -> str:
    """Return a value in which each bracket is closed by its own."""
    open_ones: list[str] = []
    result = []
    for char in value:
        if char in _CLOSERS:
            open_ones.append(_CLOSERS[char])
        elif char in _CLOSERS.values():
            if not open_ones:
                continue
            char = open_ones.pop()
        result.append(char)
    return "".join(result) + "".join(reversed(open_ones))
