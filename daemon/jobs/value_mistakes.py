"""Recognises what people mistype in the value of a key, and says what to write in its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_NUMBER = re.compile(r"([+-]?\d+)(?:[.,](\d+))?\s*(%|x|×)?", re.IGNORECASE)
_LINES_OF_VIDEO = {"480p": 854, "720p": 1280, "1080p": 1920, "1440p": 2560, "2160p": 3840, "4k": 3840}
_YES = frozenset({"true", "yes", "on", "1"})
#: Pairs of quotes that word processors write, which YAML does not know.
_QUOTES = ("“”", "„“", "„”", "«»", "»«", "‘’", "‚‘", "’’", "””")


def without_word_quotes(value: Any) -> Any:
    """Return a value without the quotes of a word processor around it (“a.png”); any other value unchanged."""
    if isinstance(value, str) and len(value) > 2 and value[0] + value[-1] in _QUOTES:
        return type(value)(value[1:-1])
    return value


def lists_for_one_value(given: Mapping[str, Any], collections: Collection[str]) -> str | None:
    """Return the first key that has a list or keys of its own where one value is expected; None for none.

    Args:
        collections: the keys for which that is right.
    """
    return next(
        (key for key, value in given.items() if isinstance(value, list | dict) and key not in collections), None
    )


def advice_for_value(key: str, value: Any, *, is_number: bool, is_file: bool) -> str | None:
    """Return what to write for a value that is not allowed; None where that is not known.

    Args:
        key: with its group, such as "motion.head".
        value: as written.
        is_number: the key expects a number.
        is_file: the key expects the name of a file.
    """
    text = str(value).strip()
    if is_file and (name := re.split(r"[/\\]", text)[-1]) and name != text and "://" not in text:
        return f"Put {name} next to the manifest, and write `{key}: {name}`."
    if is_file and "://" in text:
        return "Nothing is fetched from the web: download the file, put it next to the manifest, and write its name."
    if is_number and (found := _NUMBER.fullmatch(text)):
        number = float(f"{found[1]}.{found[2] or 0}") / (100 if found[3] == "%" else 1)
        return f"Write `{key}: {number:g}`."
    if key == "size" and (width := _LINES_OF_VIDEO.get(text.casefold())):
        height = 2160 if text.casefold() == "4k" else int(text[:-1])
        return f"Write `size: {width}x{height}`, or `size: {height}x{width}` for an upright video."
    if key == "captions" and text.casefold() in _YES:
        return "Write `captions: srt` or `vtt` for a file beside the video, or `captions: burn` to see them in it."
    return None
