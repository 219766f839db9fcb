"""English, by hibari's front end."""

from __future__ import annotations

from stages.tts.phonemes.reading import Reader


def front_end(language: str) -> Reader:
    return Reader(british=language == "en-GB")
