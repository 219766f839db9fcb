"""Validates and selects the pronunciations of `stages.tts.lexicon`: entries for all languages, and sections for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from daemon.config.flow import as_flow

#: Word → pronunciation, or language tag → such entries.
Lexicon = dict[str, str | dict[str, str]]

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_AROUND = ".,;:!?()\"'"
_LONGEST = 200  # characters


def check_lexicon(raw: Mapping[Any, Any]) -> None:
    """Check that a mapping is a valid lexicon.

    Raises:
        ValueError: a sentence about the first invalid entry.
    """
    for key, value in raw.items():
        if not isinstance(value, Mapping):
            _check_entry(key, value, "")
            continue
        if not isinstance(key, str) or not _TAG.fullmatch(key):
            quote = ", in quotes" if isinstance(key, bool) else ""
            raise ValueError(
                f"'{as_flow(key)}' holds entries but is not a language tag, such as en, es-MX or 'no'{quote}"
            )
        for word, said in value.items():
            _check_entry(word, said, f"{key}: ")


def entries_for_language(lexicon: Lexicon, language: str) -> dict[str, str]:
    """Return word → pronunciation for a language tag. Regional entries override the language's, and those the general ones."""
    tag = language.casefold()
    sections = {key.casefold(): value for key, value in lexicon.items() if isinstance(value, dict)}
    found = {word: said for word, said in lexicon.items() if isinstance(said, str)}
    for name in sorted((name for name in sections if f"{tag}-".startswith(f"{name}-")), key=len):
        known = {word.casefold() for word in sections[name]}
        found = {word: said for word, said in found.items() if word.casefold() not in known} | sections[name]
    return found


def _check_entry(word: Any, said: Any, section: str) -> None:
    if not isinstance(word, str) or not isinstance(said, str):
        raise ValueError(
            f"{section}'{as_flow(word)}: {as_flow(said)}' is not a word and one pronunciation of it, both as text (numbers, yes "
            "and no in quotes)"
        )
    if not word or len(word.split()) != 1 or word != word.strip(_AROUND):
        raise ValueError(f"{section}'{word}' is not one word without punctuation. Write an entry for each word")
    if not said.strip() or len(said) > _LONGEST or (said.startswith("/") and (len(said) < 3 or said[-1] != "/")):
        raise ValueError(f"{section}'{word}': '{said}' is not a respelling in words or /phonemes/")
