"""Chooses the default voice: the one that config.yaml names or describes, or another for a language that it does not speak."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config import Settings
from daemon.errors import MachineError
from stages.tts.engines.base import Voice
from stages.tts.engines.choose_described import what_brings
from stages.tts.engines.registry import ENGINES
from stages.tts.engines.voice_hints import language_unsupported, name_hint, sentences
from stages.tts.engines.voice_words import read_voice_words, voices_meant
from stages.tts.engines.voices import list_voices

#: In what language voices are proposed that are described without one (BCP 47).
LANGUAGE = "en"


def choose_default(voices: Sequence[Voice], language: str, settings: Settings) -> tuple[Voice, str]:
    """Choose the voice in `stages.tts.voice` where it speaks a language (BCP 47 tag), else the first that does, and give the
    reason.

    Raises:
        JobError: `language-unsupported`.
        MachineError: `voice-missing`: no voice that is installed is the one in config.yaml.
    """
    tts = settings.stages.tts
    mine = [voice for voice in voices if tts.engine in ("auto", voice.engine) and voice.installed]
    meant = voices_meant(tts.voice, mine)
    voice = next((voice for voice in meant if voice.speaks(language)), next(iter(meant), None))
    mine = [voice for voice in mine if not voice.is_profile]
    if tts.engine != "auto":
        return _choose_of_engine(voices, mine, voice, language, settings)
    if voice is None:
        raise _not_here(voices, language, settings)
    if voice.speaks(language):
        base = voice.engine in ENGINES and not ENGINES[voice.engine].fetches
        return voice, "the default voice, which needs no download" if base else "config.yaml makes it the default"
    other = next((voice for voice in mine if voice.speaks(language)), None)
    if other is None:
        raise language_unsupported(voices, language, f"There is no voice for the language '{language}' here.", settings)
    return other, f"the default voice {voice.id} does not speak '{language}'; this is the first that does"


def default_voice_error(settings: Settings) -> MachineError | None:
    """Return what jobs without a voice would fail with because no voice is the one in `stages.tts.voice`; None where one is.

    Where config.yaml names an engine, too, the voice may be another engine's, which is then not used.
    """
    tts, voices = settings.stages.tts, list_voices(settings)
    fitting = [voice for voice in voices if tts.engine != "auto" or voice.installed]
    return None if voices_meant(tts.voice, fitting) else _not_here(voices, LANGUAGE, settings)


def _not_here(voices: Sequence[Voice], language: str, settings: Settings) -> MachineError:
    """Return the error where no installed voice is the one in config.yaml, with the help that a manifest gets."""
    wanted = settings.stages.tts.voice
    named = [voice for voice in voices if voice.is_called(wanted.strip().casefold())]
    words = None if named else read_voice_words(wanted)
    if words is not None:
        asked = words.language or language
        return MachineError(
            "voice-missing",
            f"`stages.tts.voice: {wanted}` in config.yaml asks for {words.describe(asked)}, and none is installed.",
            what_brings(words, [voice for voice in voices if not voice.is_profile], asked, settings),
        )
    missing = named[0].missing if named else None
    return MachineError(
        "voice-missing",
        f"The voice '{wanted}' that config.yaml names is not installed{f': {missing.why}' if missing else ''}.",
        sentences(
            missing.remedy if missing else "",
            name_hint(voices, wanted.strip().casefold(), settings, "stages.tts.voice"),
        ),
    )


def _choose_of_engine(
    voices: Sequence[Voice], mine: Sequence[Voice], voice: Voice | None, language: str, settings: Settings
) -> tuple[Voice, str]:
    """Choose a voice of the engine named in config.yaml: the voice named there, or the first for the language."""
    engine = settings.stages.tts.engine
    if not mine and voice is None:
        missing = next((voice.missing for voice in voices if voice.engine == engine and voice.missing), None)
        why, remedy = (f": {missing.why}", missing.remedy) if missing else ("", "See docs/voices.md.")
        raise MachineError(
            "voice-missing", f"config.yaml names the engine {engine}, which has no usable voice here{why}.", remedy
        )
    why = f"config.yaml names the engine {engine}"
    if voice is not None and voice.speaks(language):
        return voice, why
    first = next((voice for voice in mine if voice.speaks(language)), None)
    if first is None:
        raise language_unsupported(
            voices, language, f"The engine {engine}, which config.yaml names, has no voice for '{language}'.", settings
        )
    return first, f"{why}; this is its first voice for '{language}'"
