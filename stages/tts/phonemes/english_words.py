"""Says whether an English word is in the front end's dictionaries, which are loaded when the first one is asked for."""

from __future__ import annotations


def is_english_word(word: str) -> bool:
    """Return whether a word in small letters, or with a first capital, is in the dictionaries."""
    from stages.tts.phonemes.reading import dictionaries  # loads hibari

    return any(word in dictionary for dictionary in dictionaries())
