"""`[pause 0.5s]` in a text: found, checked, and kept apart from the words."""

from __future__ import annotations

import re

from daemon.errors import JobError

#: What `[pause]` without a length means, and the longest pause. s
PAUSE_S, MAX_PAUSE_S = 0.5, 30.0

_MARK = re.compile(r"\[\s*pause\b([^\]\n]{0,40})\]", re.IGNORECASE)
_LENGTH = re.compile(r"\s*[:=]?\s*(\d{0,4}(?:\.\d{1,3})?)\s*(s|sec|seconds?|ms)?\s*", re.IGNORECASE)
# Code points that are no characters, and so in no text; a mark is one word between them until sentences are found.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_HIDDEN = re.compile(f"{_OPEN}([0-9.]+){_CLOSE}")


def without_marks(text: str) -> str:
    """The text as it is to be read."""
    return _MARK.sub(" ", text)


def check_marks(text: str) -> None:
    """Raise `pause-invalid` for a mark whose length cannot be understood or is too long."""
    for mark in _MARK.finditer(text):
        _seconds(mark)


def hide_marks(text: str) -> str:
    """The text with every mark as one odd word, which `pause_of` knows again."""
    plain = text.replace(_OPEN, "").replace(_CLOSE, "")
    return _MARK.sub(lambda mark: f" {_OPEN}{_seconds(mark):.3f}{_CLOSE} ", plain)


def pause_of(word: str) -> float | None:
    """Length of the pause that a hidden mark stands for, in s; None for any other word."""
    match = _HIDDEN.fullmatch(word)
    return float(match[1]) if match else None


def _seconds(mark: re.Match[str]) -> float:
    match = _LENGTH.fullmatch(mark[1])
    if match is None or (match[2] and not match[1]) or match[1] == ".":
        raise JobError(
            "pause-invalid", f"'{mark[0]}' is no pause that can be understood.", "Write [pause 0.5s], or [pause 300ms]."
        )
    value = float(match[1]) if match[1] else PAUSE_S
    seconds = value / 1000.0 if (match[2] or "").casefold() == "ms" else value
    if seconds > MAX_PAUSE_S:
        raise JobError(
            "pause-invalid",
            f"'{mark[0]}' is longer than the {MAX_PAUSE_S:g} s that a pause may have.",
            "Shorten it, or set several.",
        )
    return seconds
