"""Takes marks of Markdown out of a text: escaped signs, footnotes, tables, front matter, raised and lowered signs."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A sign that an editor has escaped: `\\*`, `\\[pause\\]`, `my\\_file`. Paths such as C:\\(new) and \\\\host\\_a are passed over.
_ESCAPED = re.compile(r"\b[A-Za-z]:\\\S*|\\\\\S*|(?<!\S)\\[^\W_]\S*|\\(?P<sign>[!-/:-@\[\]^_`|~])")
#: A footnote at its foot, and its mark in the text: `[^1]: See page 4.`, `found[^1]`.
_FOOTNOTE = re.compile(
    r"^[^\S\n]*\[\^[\w-]{1,30}\]:[^\n]*(?:\n(?: {2,}|\t)\S[^\n]*)*|[^\S\n]{0,3}\[\^[\w-]{1,30}\]", re.MULTILINE
)
#: A line end that is kept, `one\\`; the mark of a quoted line, `> one`; emphasis around brackets, `*[Music]*`.
_LINE_END = re.compile(r"\\(?=[^\S\n]*\n)")
_QUOTED_LINE = re.compile(r"^[^\S\n]*(?:>[^\S\n]?){1,4}(?=[^\s<>])", re.MULTILINE)
#: Where a quotation begins; elsewhere > is "greater than" at the end of a wrapped line.
_QUOTATION = re.compile(r"(?:\A|\n[^\S\n]*\n|:[^\S\n]*\n)[^\S\n]*>")
_AROUND_BRACKETS = re.compile(r"(?<![\w*_])([*_]{1,3})(\[[^\[\]\n]{1,80}\](?!\()|\([^()\n]{1,80}\))\1(?![\w*_])")
#: The address of a link at the foot of a text, and a link to it; the title of a link.
_LINK_AT_FOOT = re.compile(
    r"^[^\S\n]*\[[^\[\]\n]{1,60}\]:[^\S\n]+<?(?:https?://|www\.|mailto:)\S{1,500}(?:[^\S\n]+[\"'(][^\n]{0,200})?$",
    re.MULTILINE,
)
_LINK_TO_FOOT = re.compile(r"\[([^\[\]\n]{1,200})\]\[[\w .-]{0,40}\]")
_LINK_TITLE = re.compile(r"(\]\([^()\s]{1,500})[^\S\n]+\"[^\"\n]{0,200}\"(?=\))")
_LATEX = re.compile(
    r"\\(?:d?frac|sqrt|sum|int|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|pi|sigma|omega|cdot|times|leq|geq|approx|infty|text\w{0,4}"
    r"|math\w{2,4}|begin|end|left|right|emph|section|item)(?![a-z])(?:\{[^{}\n]{0,40}\}){0,2}"
)
#: A table: its rows, with a line of hyphens below the first; `| Milk | 2.50 |`. The outer signs may be missing.
_TABLE = re.compile(
    r"^[^\S\n]*\|?[^|\n]{1,200}\|[^\n]*\n[^\S\n]*\|?(?:[^\S\n]*:?-{2,}:?[^\S\n]*\|)+(?:[^\S\n]*:?-{2,}:?)?[^\S\n]*"
    r"(?:\n[^\n|]*\|[^\n]*)*",
    re.MULTILINE,
)
#: The line between the heading of a table and its rows.
_TABLE_RULE = re.compile(r"[\s|:-]+")
#: Keys of the page that a text was copied from, at its beginning between lines of three hyphens.
_FRONT_MATTER = re.compile(r"\A\s*---[^\S\n]*\n(?:[\w-]{1,40}:[^\n]*\n|[^\S\n][^\n]*\n){1,40}---[^\S\n]*(?:\n|\Z)")
#: The language of a block of code: ```python.
_FENCE = re.compile(r"^([^\S\n]*(?:```|~~~))[\w+#.-]{1,20}[^\S\n]*$", re.MULTILINE)
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


def has_table(text: str) -> bool:
    """Return whether a text has a table of Markdown."""
    return _TABLE.search(text) is not None


def front_matter(text: str) -> str:
    """Return the keys of a page at the beginning of a text, as written; empty where there are none."""
    return found[0].strip() if (found := _FRONT_MATTER.match(text)) else ""


def find_latex(text: str) -> list[str]:
    """Return the commands of LaTeX in a text, as written."""
    return _LATEX.findall(text)


def without_markdown(text: str) -> str:
    """Return a text without footnotes, front matter, marks of quotations and addresses at its foot, with the words of
    `==marked==`, H2O and x² for `H~2~O` and `x^2^`, and each row of a table as a sentence.
    """
    text = _TABLE.sub(_rows_said, _FENCE.sub(r"\1", _FRONT_MATTER.sub("", text)))
    text = _LINK_TITLE.sub(r"\1", _LINK_TO_FOOT.sub(r"\1", _LINK_AT_FOOT.sub("", _FOOTNOTE.sub("", text))))
    text = _AROUND_BRACKETS.sub(r"\2", _MARKED.sub(r"\1", _LINE_END.sub("", text)))
    if _QUOTATION.search(text):
        text = _QUOTED_LINE.sub("", text)
    return _RAISED.sub(lambda found: found[1].translate(_HIGH), _LOWERED.sub(r"\1", text))


def _rows_said(table: re.Match[str]) -> str:
    said = []
    for row in table[0].split("\n"):
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if not _TABLE_RULE.fullmatch(row) and any(cells):
            words = ", ".join(filter(None, cells))
            said.append(words if words[-1] in ".!?…:;" else f"{words}.")
    return "\n\n".join(said)
