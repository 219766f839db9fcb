"""Chooses the voice of a job, and with it the engine, and gives the reason."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config import Settings
from daemon.errors import JobError, MachineError
from daemon.jobs.manifest import Manifest
from daemon.system.installation import Missing
from stages.tts.engines.base import LoadedVoice, Voice
from stages.tts.engines.choose_described import choose_described
from stages.tts.engines.registry import ENGINES, engine_missing
from stages.tts.engines.voice_words import correct_voice_words, read_voice_words, words_not_known
from stages.tts.engines.voices import list_voices
from stages.tts.profile_store import PROFILE_ID, ProfileStore, check_usable

#: The manifest's name for the voice in `stages.tts.voice`.
DEFAULT_VOICE = "default"
#: Most voices named in a hint; `avatar voice list` shows all.
_MAX_LISTED = 8


@dataclass(frozen=True)
class VoiceChoice:
    """The chosen voice.

    Attributes:
        voice: determines the engine too.
        why: the reason, for the status file.
    """

    voice: Voice
    why: str

    @property
    def engine(self) -> str:
        """The voice's engine."""
        return self.voice.engine


def choose_voice(manifest: Manifest, settings: Settings) -> VoiceChoice:
    """Choose the voice for a job: the one that has the name in `voice`, else one that is as the words there describe it.

    Raises:
        JobError: `voice-unknown`, `profile-unknown`, `voice-not-installed`, `language-unsupported`.
        MachineError: `voice-missing`: the default voice of config.yaml is not installed.
    """
    wanted = manifest.voice.strip().casefold()
    voices = list_voices(settings)
    if PROFILE_ID.fullmatch(wanted):
        ProfileStore(settings.paths.profiles).find_profile(wanted)  # raises for the id of a removed profile
    if wanted == DEFAULT_VOICE:
        return _choose_default(voices, manifest.language, settings)
    engine = ENGINES.get(wanted.partition("/")[0]) if "/" in wanted else None
    known = any(voice.is_called(wanted) for voice in voices)
    # Some engines list their voices only when their files are there.
    if engine and not known and (missing := engine_missing(engine, settings)):
        raise _not_installed(manifest.voice, missing)
    if not known and (words := read_voice_words(wanted)):
        return VoiceChoice(*choose_described(words, voices, manifest, settings))
    return _choose_named(voices, manifest, wanted, settings.stages.tts.engine)


def _choose_named(voices: Sequence[Voice], manifest: Manifest, wanted: str, preferred: str) -> VoiceChoice:
    """Choose among voices of one name: prefers the preferred engine, then installed ones, then those of the language."""
    found = [voice for voice in voices if voice.is_called(wanted)]
    if not found:
        raise JobError(
            "voice-unknown",
            f"There is no voice and no voice profile named '{manifest.voice}'.",
            _name_hint(voices, wanted),
        )
    language = manifest.language
    voice = min(found, key=lambda v: (v.engine != preferred, not v.installed, not v.speaks(language)))
    if voice.missing:
        raise _not_installed(manifest.voice, voice.missing)
    if not voice.speaks(language):
        error = _unsupported(
            voices, language, f"The voice '{voice.id}' speaks {_comma_list(voice.languages)}, not '{language}'."
        )
        own = f"Write `language: {voice.languages[0]}` if the text is in that language."
        raise JobError(error.code, error.message, f"{own} {error.hint}")
    why = "the manifest names this voice"
    if len(found) > 1 and "/" not in wanted:
        others = _comma_list([other.id for other in found if other != voice])
        why += f"; {others} has the same name"
    return VoiceChoice(voice, why)


def _choose_default(voices: Sequence[Voice], language: str, settings: Settings) -> VoiceChoice:
    tts = settings.stages.tts
    wanted = tts.voice.casefold()
    mine = [voice for voice in voices if tts.engine in ("auto", voice.engine) and voice.installed]
    voice = next((voice for voice in mine if voice.is_called(wanted)), None)
    mine = [voice for voice in mine if not voice.is_profile]
    if tts.engine != "auto":
        return _choose_of_engine(voices, mine, voice, language, tts.engine)
    if voice is None:
        raise MachineError(
            "voice-missing",
            f"The voice '{tts.voice}' that config.yaml names is not installed.",
            f"Set `stages.tts.voice` to one of: {_comma_list([v.id for v in mine][:_MAX_LISTED])}.",
        )
    if voice.speaks(language):
        base = voice.engine in ENGINES and not ENGINES[voice.engine].fetches
        return VoiceChoice(
            voice, "the default voice, which needs no download" if base else "config.yaml makes it the default"
        )
    other = next((voice for voice in mine if voice.speaks(language)), None)
    if other is None:
        raise _unsupported(voices, language, f"There is no voice for the language '{language}' here.")
    return VoiceChoice(other, f"the default voice {voice.id} does not speak '{language}'; this is the first that does")


def _choose_of_engine(
    voices: Sequence[Voice], mine: Sequence[Voice], voice: Voice | None, language: str, engine: str
) -> VoiceChoice:
    """Choose a voice of the engine named in config.yaml: the voice named there, or the first for the language."""
    if not mine and voice is None:
        missing = next((voice.missing for voice in voices if voice.engine == engine and voice.missing), None)
        why, remedy = (f": {missing.why}", missing.remedy) if missing else ("", "See docs/voices.md.")
        raise MachineError(
            "voice-missing", f"config.yaml names the engine {engine}, which has no usable voice here{why}.", remedy
        )
    why = f"config.yaml names the engine {engine}"
    if voice is not None and voice.speaks(language):
        return VoiceChoice(voice, why)
    first = next((voice for voice in mine if voice.speaks(language)), None)
    if first is None:
        raise _unsupported(
            voices, language, f"The engine {engine}, which config.yaml names, has no voice for '{language}'."
        )
    return VoiceChoice(first, f"{why}; this is its first voice for '{language}'")


def _not_installed(wanted: str, missing: Missing) -> JobError:
    return JobError("voice-not-installed", f"The voice '{wanted}' cannot be used here: {missing.why}.", missing.remedy)


def _unsupported(voices: Sequence[Voice], language: str, message: str) -> JobError:
    able = [voice.id for voice in voices if voice.installed and voice.speaks(language)]
    if able:
        return JobError(
            "language-unsupported", message, f"These speak '{language}': {_comma_list(able[:_MAX_LISTED])}."
        )
    other = "Use `language: en`, or provide the speech as a sound file with `audio`."
    near = _nearest(voices, language)
    hint = (
        f"{near.id} would, but {near.missing.why}: {near.missing.remedy} Or: {other}"
        if near and near.missing
        else other
    )
    return JobError("language-unsupported", message, hint)


def _nearest(voices: Sequence[Voice], language: str) -> Voice | None:
    """Return the first voice of a language that is no profile, installed or not."""
    return next((voice for voice in voices if voice.speaks(language) and not voice.is_profile), None)


def how_to_get_voice(language: str, settings: Settings) -> str:
    """Return what would bring a voice for a language (BCP 47 tag); empty where one can be used, or none is known."""
    voices = list_voices(settings)
    if any(voice.installed and voice.speaks(language) for voice in voices):
        return ""
    near = _nearest(voices, language)
    return near.missing.remedy if near and near.missing else ""


def _name_hint(voices: Sequence[Voice], wanted: str) -> str:
    """Return a hint with the most similar name or description, and some installed voices."""
    there = [voice for voice in voices if voice.installed]
    known = {name.casefold(): name for voice in voices for name in (voice.name, voice.id, *voice.aliases)}
    near = difflib.get_close_matches(wanted, [DEFAULT_VOICE, *known], 1, 0.5)
    meant = correct_voice_words(wanted)
    if not meant and (unknown := words_not_known(wanted)):
        hint = f"As a description it has words that are not known: {_comma_list(unknown)}. "
    else:
        meant = meant or (known.get(near[0], near[0]) if near else "")
        hint = f"Did you mean '{meant}'? " if meant else ""
    more = ", … (`avatar voice list` shows all)" if len(there) > _MAX_LISTED else ""
    return (
        f"{hint}Write a voice's name, or words for gender, accent and language, such as `voice: british female`. Installed: "
        f"{_comma_list([DEFAULT_VOICE, *[voice.id for voice in there[:_MAX_LISTED]]])}{more}."
    )


def _comma_list(names: Sequence[str]) -> str:
    return ", ".join(names)


def load_voice(choice: VoiceChoice, settings: Settings) -> LoadedVoice:
    """Load the chosen voice. Each engine keeps what is expensive to load for later jobs.

    Raises:
        JobError: `profile-expired`, `consent-missing`, `profile-unknown`.
        MachineError: a model file is missing or damaged, or the engine's program does not start.
    """
    if choice.voice.is_profile:
        profile = ProfileStore(settings.paths.profiles).find_profile(choice.voice.aliases[0])
        check_usable(profile, require_consent=settings.stages.tts.require_consent)
    if choice.engine in settings.engines:
        from stages.tts.engines.external.client import ExternalVoice

        return ExternalVoice(choice.voice, settings)
    return ENGINES[choice.engine].load(choice.voice, settings)
