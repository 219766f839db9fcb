"""Prepares text for the network and splits it into portions that fit. The caller supplies the test for fitting."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from daemon.errors import JobError
from stages.tts.text.cjk_words import breaker_for, without_blanks

#: The languages of the published model, by its names for them.
LANGUAGES = (
    "en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko", "ja", "hi",
)  # fmt: skip

_QUOTES = re.compile(r"[\"“”„‟«»‹›「」『』()\[\]{}<>*_~`#|\\^]+")
_DASHES = re.compile(r"\s+[-–—]+\s+|[–—]+")
_REPEATED = re.compile(r"([!?.,;:])[!?.,;:\s]*(?=[!?.,;:])")
_CLAUSE_END = re.compile(r"[,;:、，；：][\"'”’»)\]]*$")
_END = re.compile(r"[.!?。！？।]$")
#: Best places to split a text without spaces.
_CJK_CLAUSE = "、，；：。！？,;:.!?"


def model_language(tag: str) -> str:
    """Return the model's name for a BCP 47 tag.

    Raises:
        JobError: `language-unsupported`.
    """
    primary = tag.casefold().partition("-")[0]
    if primary == "zh":
        return "zh-cn"
    if primary in LANGUAGES:
        return primary
    raise JobError(
        "language-unsupported", f"XTTS does not speak the language '{tag}'.", f"It speaks: {', '.join(LANGUAGES)}."
    )


def has_letters(text: str) -> bool:
    """Return whether the text contains a letter or digit. For other text the network makes sounds without end."""
    return any(map(str.isalnum, text))


def network_text(words: Sequence[str]) -> str:
    """Join words for the network: without quotes and brackets, which cause noise, and with a full stop at the end.

    Returns an empty string where there is nothing to say.
    """
    text = unicodedata.normalize("NFC", " ".join(words)).replace("…", ".").replace("’", "'")
    text = _DASHES.sub(", ", _QUOTES.sub(" ", text))
    text = "".join(char for char in text if not unicodedata.category(char).startswith(("C", "So")) or char == " ")
    text = re.sub(r"\s+([!?.,;:])", r"\1", " ".join(text.split()))
    text = without_blanks(_REPEATED.sub("", text)).strip(" ,;:-'")
    if not has_letters(text):
        return ""
    return text if _END.search(text) else f"{text}."


def split_to_fit(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield portions that fit, in order and together the whole text: split at clauses, else words, else anywhere."""
    if fits(text) or len(text) < 2:
        yield text
        return
    words = text.split()
    if len(words) > 1:
        at = _best_cut([len(word) for word in words], [bool(_CLAUSE_END.search(word)) for word in words])
        first, second = " ".join(words[:at]), " ".join(words[at:])
    else:
        parts = _words_or_characters(text)
        at = _best_cut([len(part) for part in parts], [part[-1] in _CJK_CLAUSE for part in parts])
        first, second = "".join(parts[:at]), "".join(parts[at:])
    yield from split_to_fit(first, fits)
    yield from split_to_fit(second, fits)


def _words_or_characters(text: str) -> list[str]:
    """Split a text without spaces into words, or into characters where its words cannot be found."""
    try:
        breaker = breaker_for("", text)
    except ModuleNotFoundError:  # an engine in another Python may lack this package
        breaker = None
    parts = breaker.words(text) if breaker else []
    return parts if len(parts) > 1 else list(text)


def _best_cut(lengths: Sequence[int], good: Sequence[bool]) -> int:
    """Return how many items precede the best cut: near the middle, preferring good places that are not near an end."""
    total, best, cost = sum(lengths), 1, float("inf")
    before = 0
    for index in range(1, len(lengths)):
        before += lengths[index - 1]
        off = abs(before / total - 0.5)
        price = off if good[index - 1] and off < 0.35 else 1.0 + off
        if price < cost:
            best, cost = index, price
    return best
