"""The recognisers, and the choice of one."""

from __future__ import annotations

from typing import Final

from daemon.config import Settings
from daemon.system.installation import Missing, how_to_install_extra, packages_missing
from stages.transcribe import moonshine, whisper
from stages.transcribe.base import Recogniser

RECOGNISERS: Final[tuple[Recogniser, ...]] = (moonshine.RECOGNISER, whisper.RECOGNISER)


def recogniser_missing(recogniser: Recogniser, settings: Settings) -> Missing | None:
    """Return why a recogniser cannot be used here; None if it can. Imports none of its packages."""
    return recogniser.missing(settings) or packages_missing(recogniser.packages, recogniser.pins, recogniser.extra)


def choose_recogniser(settings: Settings, language: str) -> Recogniser | Missing:
    """Return the recogniser for a language (BCP 47 tag), or why there is none.

    Where the settings name a Whisper network, it is that one for every language: a mistake in them must be seen.
    """
    primary = language.casefold().partition("-")[0]
    one = whisper.RECOGNISER if settings.stages.tts.whisper_model is not None else moonshine.RECOGNISER
    if (known := one.languages(settings)) is not None and primary not in known:
        return Missing(
            f"the recogniser {one.name} knows no '{primary}' here",
            f"Name a Whisper network that knows it in `stages.tts.whisper_model`. {how_to_install_extra('whisper')}",
        )
    return recogniser_missing(one, settings) or one
