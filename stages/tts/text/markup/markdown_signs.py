"""Takes marks of Markdown out of a text: escaped signs, footnotes, the marker pen, raised and lowered signs."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A sign that an editor has escaped: `\\*`, `\\[pause\\]`, `my\\_file`. Paths such as C:\\(new) and \\\\host\\_a are passed over.
_ESCAPED = re.compile(r"\b[A-Za-z]:\\\S*|\\\\\S*|(?<!\S)\\[^\W_]\S*|\\(?P<sign>[!-/:-@\[\]^_`|~])")
#: A footnote at its foot, and its mark in the text: `[^1]: See page 4.`, `found[^1]`.
_FOOTNOTE = re.compile(
    r"^[^\S\n]*\[\^[\w-]{1,30}\]:[^\n]*(?:\n(?: {2,}|\t)\S[^\n]*)*|[^\S\n]*\[\^[\w-]{1,30}\]", re.MULTILINE
)
_MARKED = re.compile(r"(?<![=\w])==(?=[^\s=])([^=\n]{1,200})(?<=\S)==(?![=\w])")
_LOWERED = re.compile(r"(?<=[^\W_])~(\d{1,3}|[a-z]{1,2})~(?!~)")
_RAISED = re.compile(r"(?<=[\w)])\^(-?\d{1,3}|st|nd|rd|th)\^(?!\^)")
_HIGH = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_SHOWN = 40  # characters of a footnote


def without_escapes(text: str) -> str:
    """Return a text with plain signs in place of those that Markdown, JSON or a shell has a backslash before."""
    return _ESCAPED.sub(lambda found: found["sign"] or found[0], text)


def find_footnotes(text: str) -> Iterator[str]:
    """Yield footnotes and their marks as written; long ones are cut."""
    for found in _FOOTNOTE.finditer(text):
        note = " ".join(found[0].split())
        yield note if len(note) <= _MOST_SHOWN else f"{note[: _MOST_SHOWN - 1].rstrip()}…"


def without_markdown(text: str) -> str:
    """Return a text without footnotes, with the words of `==marked==`, and with H2O and x² for `H~2~O` and `x^2^`."""
    text = _MARKED.sub(r"\1", _FOOTNOTE.sub("", text))
    return _RAISED.sub(lambda found: found[1].translate(_HIGH), _LOWERED.sub(r"\1", text))
