"""Finds places of a text that were to be filled in, as a form letter has them."""

from __future__ import annotations

import re

#: A place that was to be filled in: {{company}}, {name}, ${name}, [NAME], [Your Name], %NAME%, <your name here>, <name>.
_FILLED_IN = r"(?:name|company|date|title|email|city|address|topic|product|role|position|customer|client|user|username|recipient)"
_PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]{1,40}\}\}|\$?\{[^\W\d]\w{0,30}(?:[ .-]\w{1,30}){0,3}\}|%[A-Z][A-Z_]{1,40}%|%\([a-z_]{1,40}\)s"
    r"|\[[A-Z][A-Z_ ]{3,40}\]|\[(?i:your|insert|name of)\b[^\]\n]{1,40}\]|<(?i:your|insert)\b[^<>\n]{1,40}>"
    rf"|[\[<](?i:(?:\w{{1,20}}[ _-]?)?{_FILLED_IN})[\]>]"
)


def find_placeholders(text: str) -> list[str]:
    """Return the places that were to be filled in, as written."""
    return _PLACEHOLDER.findall(text)


def is_placeholder(words: str) -> bool:
    """Return whether all of the words, with their brackets, are one such place."""
    return _PLACEHOLDER.fullmatch(words) is not None
