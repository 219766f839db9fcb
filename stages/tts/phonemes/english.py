"""English, by hibari's front end."""

from __future__ import annotations

from stages.tts.phonemes.reading import EnglishFrontEnd


def front_end(language: str) -> EnglishFrontEnd:
    return EnglishFrontEnd(british=language == "en-GB")
