"""Marks the direction of captions from right to left, since players otherwise put their punctuation on the wrong side."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

#: Right-to-left embedding, and its end (UAX 9). They hold whatever direction a player assumes for the paragraph.
_EMBED, _END = "\u202b", "\u202c"
#: Highest part of the letters in a text that only quotes. Names in Latin letters are long, and Semitic words short.
_QUOTED = 0.3
_RIGHT_TO_LEFT = ("R", "AL")


def direction_marker(lines: Iterable[str]) -> Callable[[str], str]:
    """Return a function that marks a line of a text; it changes nothing in a text that only quotes words from right to left."""
    classes = [unicodedata.bidirectional(char) for line in lines for char in line]
    right = sum(kind in _RIGHT_TO_LEFT for kind in classes)
    if right <= _QUOTED * (right + classes.count("L")):
        return lambda line: line
    return _marked


def _marked(line: str) -> str:
    has_letters = any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in line)
    return f"{_EMBED}{line}{_END}" if has_letters else line
