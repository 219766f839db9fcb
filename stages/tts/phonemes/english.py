"""Front end of English, by hibari."""

from __future__ import annotations

from stages.tts.phonemes.reading import EnglishFrontEnd


def front_end(language: str) -> EnglishFrontEnd:
    """Return the front end of English; British pronunciation for "en-GB"."""
    return EnglishFrontEnd(british=language == "en-GB")
