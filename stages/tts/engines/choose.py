"""Chooses the voice of a job, and with it the engine, and gives the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.system.installation import Missing
from stages.tts.engines.base import LoadedVoice, Voice
from stages.tts.engines.choose_default import choose_default
from stages.tts.engines.choose_described import choose_described
from stages.tts.engines.registry import ENGINES, engine_missing
from stages.tts.engines.voice_hints import (
    DEFAULT_VOICE,
    comma_list,
    language_unsupported,
    name_hint,
    nearest_voice,
    sentences,
    usable_now,
    who_can_bring,
)
from stages.tts.engines.voice_words import read_voice_words
from stages.tts.engines.voices import list_voices
from stages.tts.profile_store import PROFILE_ID, ProfileStore


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
        return VoiceChoice(*choose_default(voices, manifest.language, settings))
    engine = ENGINES.get(wanted.partition("/")[0]) if "/" in wanted else None
    known = any(voice.is_called(wanted) for voice in voices)
    # Some engines list their voices only when their files are there.
    if engine and not known and (missing := engine_missing(engine, settings)):
        raise _not_installed(manifest, missing, voices, settings)
    if not known and (words := read_voice_words(wanted)):
        return VoiceChoice(*choose_described(words, voices, manifest, settings))
    return _choose_named(voices, manifest, wanted, settings)


def _choose_named(voices: Sequence[Voice], manifest: Manifest, wanted: str, settings: Settings) -> VoiceChoice:
    """Choose among voices of one name: prefers the preferred engine, then installed ones, then those of the language."""
    found = [voice for voice in voices if voice.is_called(wanted)]
    if not found:
        raise JobError(
            "voice-unknown",
            f"There is no voice and no voice profile named '{manifest.voice}'.",
            name_hint(voices, wanted, settings),
        )
    language, preferred = manifest.language, settings.stages.tts.engine
    voice = min(found, key=lambda v: (v.engine != preferred, not v.installed, not v.speaks(language)))
    if voice.missing:
        raise _not_installed(manifest, voice.missing, voices, settings)
    if not voice.speaks(language):
        error = language_unsupported(
            voices,
            language,
            f"The voice '{voice.id}' speaks {comma_list(voice.languages)}, not '{language}'.",
            settings,
        )
        own = f"Write `language: {voice.languages[0]}` if the text is in that language."
        raise JobError(error.code, error.message, f"{own} {error.hint}")
    why = "you asked for this voice"
    if len(found) > 1 and "/" not in wanted:
        others = comma_list([other.id for other in found if other != voice])
        why += f"; {others} has the same name"
    return VoiceChoice(voice, why)


def _not_installed(manifest: Manifest, missing: Missing, voices: Sequence[Voice], settings: Settings) -> JobError:
    return JobError(
        "voice-not-installed",
        f"The voice '{manifest.voice}' cannot be used here: {missing.why}.",
        sentences(who_can_bring(missing), usable_now(voices, manifest.language, settings)),
    )


def how_to_get_voice(language: str, settings: Settings) -> str:
    """Return what would bring a voice for a language (BCP 47 tag), or else what to do; empty where one can be used."""
    voices = list_voices(settings)
    if any(voice.installed and voice.speaks(language) for voice in voices):
        return ""
    near = nearest_voice(voices, language)
    return who_can_bring(near.missing) if near and near.missing else "None that can be fetched is known here."


def load_voice(choice: VoiceChoice, settings: Settings) -> LoadedVoice:
    """Load the chosen voice. Each engine keeps what is expensive to load for later jobs.

    Raises:
        JobError: `profile-expired`, `consent-missing`, `profile-unknown`.
        MachineError: a model file is missing or damaged, or the engine's program does not start.
    """
    if choice.voice.is_profile:
        store = ProfileStore(settings.paths.profiles)
        store.check_usable(
            store.find_profile(choice.voice.aliases[0]), require_consent=settings.stages.tts.require_consent
        )
    if choice.engine in settings.engines:
        from stages.tts.engines.external.client import ExternalVoice

        return ExternalVoice(choice.voice, settings)
    return ENGINES[choice.engine].load(choice.voice, settings)
