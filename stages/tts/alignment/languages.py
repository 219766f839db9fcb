"""Says in which languages words can be aligned with a sound. It imports nothing heavy: most recordings come without a text."""

from __future__ import annotations

from daemon.system.installation import Missing
from stages.tts.phonemes import front_end_missing

#: BCP 47 tag of a language that nobody knows.
UNKNOWN_LANGUAGE = "und"
#: Languages whose sounds map well enough to those of the American English acoustic model.
_ALIGNED_LANGUAGES = frozenset({"en", "es", "fr", "hi", "it", "pt"})
_LANGUAGE_NAMES = "English, French, Hindi, Italian, Portuguese and Spanish"


def alignment_missing(language: str) -> Missing | None:
    """Return why words of a language (BCP 47 tag) cannot be aligned here; None if they can."""
    if language.casefold().partition("-")[0] not in _ALIGNED_LANGUAGES:
        which = "" if language == UNKNOWN_LANGUAGE else f", not '{language}'"
        return Missing(f"words can be aligned with a sound in {_LANGUAGE_NAMES} only{which}", "")
    return front_end_missing(language)
