"""Recognises what programs write around lines: marks of a merge conflict, of quoted mails and lists, and typographic quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The lines that git writes around two versions of a part. Its line of = alone may be a heading's, and so tells nothing.
_MERGE = re.compile(r"\s*(?:<{7}|>{7}|\|{7})(?:\s.*)?")
#: Signs before each line → what they come from.
_PREFIXES = {
    ">": "a quoted mail",
    "*": "a list",
    "•": "a list",
    "+": "a list of changes",
    "$": "a terminal",
    "|": "a table",
}
#: Quotes of word processors and of the keyboards of phones and Macs.
WORD_QUOTES = "“”„«»‘’‚"
_MOST_NAMED = 6


def merge_marks(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return that the lines hold marks of a merge conflict, and what to do; None where there is none."""
    found = [number for number, line in enumerate(lines, 1) if _MERGE.fullmatch(line)]
    if not found:
        return None
    places = ", ".join(map(str, found[:_MOST_NAMED]))
    return (
        f"The file has the marks <<<<<<< and >>>>>>> that git writes where two people changed the same lines "
        f"({'lines' if len(found) > 1 else 'line'} {places})",
        "Keep one of the two versions, and remove the other and the lines with <<<<<<<, ======= and >>>>>>>.",
    )


def sign_before_lines(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return that most lines begin with a sign that is no part of them, such as a quoted mail's >, and what to do."""
    written = [line.strip() for line in lines if line.strip()]
    for sign, origin in _PREFIXES.items():
        marked = [line for line in written if line.startswith(sign) and line[1:].strip()]
        if marked and 2 * len(marked) >= len(written):
            line = next(number for number, text in enumerate(lines, 1) if text.strip() == marked[0])
            return (
                f"Lines begin with {sign}, as in {origin} (line {line})",
                f"Remove the {sign} and the blank after it, so that each key is the first word of its line.",
            )
    return None


def word_quotes(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return that JSON is written with typographic quotes, and what to do; None where it has none."""
    for number, line in enumerate(lines, 1):
        if sign := next((sign for sign in line if sign in WORD_QUOTES), ""):
            return (
                f"The quote {sign} is typographic, and JSON and YAML know only straight ones (line {number})",
                'Type " in its place; an editor for code, or plain text without smart quotes, leaves them straight.',
            )
    return None
