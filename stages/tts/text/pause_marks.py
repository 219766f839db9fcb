"""Finds and checks pause marks, `[pause 0.5s]`, and separates them from the words."""

from __future__ import annotations

import re

from daemon.errors import JobError

#: Length of `[pause]` without a number, and of the longest pause. s
PAUSE_S, MAX_PAUSE_S = 0.5, 30.0

_MARK = re.compile(r"\[\s*pause\b([^\]\n]{0,40})\]", re.IGNORECASE)
_LENGTH = re.compile(r"\s*[:=]?\s*(\d{0,4}(?:\.\d{1,3})?)\s*(s|sec|seconds?|ms)?\s*", re.IGNORECASE)
# Unicode noncharacters, which do not occur in text. They enclose a mark, as one word, until sentences are split.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_HIDDEN = re.compile(f"{_OPEN}([0-9.]+){_CLOSE}")


def without_marks(text: str) -> str:
    """Return the text without pause marks."""
    return _MARK.sub(" ", text)


def check_marks(text: str) -> None:
    """Check all pause marks of a text.

    Raises:
        JobError: `pause-invalid`: a length is not valid or too long.
    """
    for mark in _MARK.finditer(text):
        _seconds(mark)


def hide_marks(text: str) -> str:
    """Replace every mark by one special word, which `pause_of` recognises.

    Raises:
        JobError: `pause-invalid`.
    """
    plain = text.replace(_OPEN, "").replace(_CLOSE, "")
    return _MARK.sub(lambda mark: f" {_OPEN}{_seconds(mark):.3f}{_CLOSE} ", plain)


def pause_of(word: str) -> float | None:
    """Return the length of a hidden mark, in s; None for any other word."""
    match = _HIDDEN.fullmatch(word)
    return float(match[1]) if match else None


def _seconds(mark: re.Match[str]) -> float:
    match = _LENGTH.fullmatch(mark[1])
    if match is None or (match[2] and not match[1]) or match[1] == ".":
        raise JobError("pause-invalid", f"'{mark[0]}' is not a valid pause.", "Write [pause 0.5s], or [pause 300ms].")
    value = float(match[1]) if match[1] else PAUSE_S
    seconds = value / 1000.0 if (match[2] or "").casefold() == "ms" else value
    if seconds > MAX_PAUSE_S:
        raise JobError(
            "pause-invalid",
            f"'{mark[0]}' is too long; at most {MAX_PAUSE_S:g} s are allowed.",
            "Shorten it, or write several pauses.",
        )
    return seconds
