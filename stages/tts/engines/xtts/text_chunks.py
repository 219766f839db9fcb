"""Words → text for the network, in portions that it can hold. Pure: what fits is asked of the network's tokenizer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from daemon.errors import JobError
from stages.tts.text.cjk_words import breaker_for, without_blanks

#: The languages of the published model, by the name it knows them by.
LANGUAGES = (
    "en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko", "ja", "hi",
)  # fmt: skip

_QUOTES = re.compile(r"[\"“”„‟«»‹›「」『』()\[\]{}<>*_~`#|\\^]+")
_DASHES = re.compile(r"\s+[-–—]+\s+|[–—]+")
_REPEATED = re.compile(r"([!?.,;:])[!?.,;:\s]*(?=[!?.,;:])")
_CLAUSE_END = re.compile(r"[,;:、，；：][\"'”’»)\]]*$")
_END = re.compile(r"[.!?。！？।]$")
#: Where a text without blanks is best cut.
_CJK_CLAUSE = "、，；：。！？,;:.!?"


def model_language(tag: str) -> str:
    """The model's name for a language tag.

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
    """Whether there is a letter or digit in it. Given anything else, the network babbles until it is stopped."""
    return any(map(str.isalnum, text))


def network_text(words: Sequence[str]) -> str:
    """Words as the network likes them: no quotes or brackets, which it follows with noise, and a stop at the end.

    Empty where there is nothing to be said.
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
    """Portions that fit, in order, with all of the text; cut at clauses, else between words, else anywhere."""
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
    """The words of a text without blanks, or its characters where nothing tells them apart."""
    try:
        breaker = breaker_for("", text)
    except ModuleNotFoundError:  # an engine in a Python of its own may have no more than it needs to speak
        breaker = None
    parts = breaker.words(text) if breaker else []
    return parts if len(parts) > 1 else list(text)


def _best_cut(lengths: Sequence[int], good: Sequence[bool]) -> int:
    """How many items come before the cut: nearest to the middle; a good place counts unless it is near an end."""
    total, best, cost = sum(lengths), 1, float("inf")
    before = 0
    for index in range(1, len(lengths)):
        before += lengths[index - 1]
        off = abs(before / total - 0.5)
        price = off if good[index - 1] and off < 0.35 else 1.0 + off
        if price < cost:
            best, cost = index, price
    return best
