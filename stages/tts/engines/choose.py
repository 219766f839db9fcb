"""Which engine speaks, with which voice, and why; and how each is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.config import Settings
from daemon.errors import JobError, MachineError
from daemon.jobs.manifest import Manifest
from stages.tts.engines.voices import Voice, catalogue
from stages.tts.engines.xtts import voices as xtts
from stages.tts.profile_store import PROFILE_ID, Profiles, check_usable

if TYPE_CHECKING:  # so that a voice can be chosen without numpy
    from stages.tts.engines.base import Engine

#: What a manifest says when it does not care; stands for `stages.tts.voice`.
DEFAULT = "default"
#: Voices named in a hint; `avatar voice list` has them all.
_NAMED = 8


@dataclass(frozen=True)
class Choice:
    """A voice (and with it an engine), and the reason in words for the status."""

    voice: Voice
    why: str

    @property
    def engine(self) -> str:
        return self.voice.engine


def resolve(manifest: Manifest, settings: Settings) -> Choice:
    """The voice for a job.

    Raises:
        JobError: `voice-unknown`, `profile-unknown`, `voice-not-installed`, `language-unsupported`.
        MachineError: `voice-missing`: what config.yaml makes the default is not there.
    """
    wanted = manifest.voice.strip().casefold()
    voices = catalogue(settings)
    if PROFILE_ID.fullmatch(wanted):
        Profiles(settings.paths.profiles).find(wanted)  # an id that is not there was removed, and that is worth saying
    if wanted == DEFAULT:
        return _default(voices, manifest.language, settings)
    if wanted.startswith("xtts/") and not any(voice.is_called(wanted) for voice in voices):
        why, remedy = xtts.lacking(settings)  # its voices are known by its files only
        if why:
            raise JobError("voice-not-installed", f"The voice '{manifest.voice}' cannot be used here: {why}.", remedy)
    return _named(voices, manifest, wanted, settings.stages.tts.engine)


def _named(voices: Sequence[Voice], manifest: Manifest, wanted: str, preferred: str) -> Choice:
    """Of several voices of that name: the preferred engine's, then an installed one, then one of the language."""
    found = [voice for voice in voices if voice.is_called(wanted)]
    if not found:
        raise JobError(
            "voice-unknown",
            f"There is no voice named '{manifest.voice}', nor a voice profile (any more).",
            _names(voices, wanted),
        )
    language = manifest.language
    voice = min(found, key=lambda v: (v.engine != preferred, not v.installed, not v.speaks(language)))
    if not voice.installed:
        raise JobError(
            "voice-not-installed", f"The voice '{manifest.voice}' cannot be used here: {voice.lacking}.", voice.remedy
        )
    if not voice.speaks(language):
        error = _unsupported(
            voices, language, f"The voice '{voice.id}' speaks {_list(voice.languages)}, not '{language}'."
        )
        own = f"Write `language: {voice.languages[0]}` if that is what the text is in."
        raise JobError(error.code, error.message, f"{own} {error.hint}")
    why = "the manifest asks for this voice"
    if len(found) > 1 and "/" not in wanted:
        others = _list([other.id for other in found if other != voice])
        why += f"; {others} has the same name"
    return Choice(voice, why)


def _default(voices: Sequence[Voice], language: str, settings: Settings) -> Choice:
    tts = settings.stages.tts
    wanted = tts.voice.casefold()
    mine = [voice for voice in voices if tts.engine in ("auto", voice.engine) and voice.installed]
    voice = next((voice for voice in mine if voice.is_called(wanted)), None)
    mine = [voice for voice in mine if not voice.own]
    if tts.engine != "auto":
        return _of_engine(voices, mine, voice, language, tts.engine)
    if voice is None:
        raise MachineError(
            "voice-missing",
            f"The voice '{tts.voice}' that config.yaml names is not installed.",
            f"Set `stages.tts.voice` to one of: {_list([v.id for v in mine][:_NAMED])}.",
        )
    if voice.speaks(language):
        return Choice(voice, "the default voice, which needs no download" if voice.engine == "hibari" else
                      "config.yaml makes it the default")  # fmt: skip
    other = next((voice for voice in mine if voice.speaks(language)), None)
    if other is None:
        raise _unsupported(voices, language, f"There is no voice for the language '{language}' here.")
    return Choice(other, f"the default voice {voice.id} does not speak '{language}'; this is the first that does")


def _of_engine(
    voices: Sequence[Voice], mine: Sequence[Voice], voice: Voice | None, language: str, engine: str
) -> Choice:
    """The default voice of the engine that config.yaml asks for: the one it names, or the first for the language."""
    if not mine and voice is None:
        lacking = next((f": {v.lacking}" for v in voices if v.engine == engine), "")
        remedy = next((v.remedy for v in voices if v.engine == engine), "See docs/voices.md.")
        raise MachineError(
            "voice-missing", f"config.yaml asks for the engine {engine}, which has no voice here{lacking}.", remedy
        )
    why = f"config.yaml asks for the engine {engine}"
    if voice is not None and voice.speaks(language):
        return Choice(voice, why)
    first = next((voice for voice in mine if voice.speaks(language)), None)
    if first is None:
        raise _unsupported(voices, language, f"The engine {engine}, which config.yaml asks for, has no '{language}'.")
    return Choice(first, f"{why}; this is its first voice for '{language}'")


def _unsupported(voices: Sequence[Voice], language: str, message: str) -> JobError:
    able = [voice.id for voice in voices if voice.installed and voice.speaks(language)]
    if able:
        return JobError("language-unsupported", message, f"These speak '{language}': {_list(able[:_NAMED])}.")
    other = "Use `language: en`, or bring the speech as a sound file with `audio`."
    near = next((voice for voice in voices if voice.speaks(language) and not voice.own), None)
    hint = f"{near.id} would, but {near.lacking}: {near.remedy} Or: {other}" if near else other
    return JobError("language-unsupported", message, hint)


def _names(voices: Sequence[Voice], wanted: str) -> str:
    """A hint: the nearest name, and some of those that are there."""
    there = [voice for voice in voices if voice.installed]
    known = {name.casefold(): name for voice in voices for name in (voice.name, voice.id, *voice.aliases)}
    near = difflib.get_close_matches(wanted, [DEFAULT, *known], 1, 0.5)
    hint = f"Did you mean '{known.get(near[0], near[0])}'? " if near else ""
    more = ", … (`avatar voice list` shows all)" if len(there) > _NAMED else ""
    return f"{hint}Installed voices: {_list([DEFAULT, *[voice.id for voice in there[:_NAMED]]])}{more}."


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def load(choice: Choice, settings: Settings) -> Engine:
    """The engine, speaking with the chosen voice. What is heavy about it each loader keeps for the jobs that follow.

    Raises:
        JobError: `profile-expired`, `consent-missing`, `profile-unknown`.
        MachineError: a model file is missing or broken, or an engine's own program does not start.
    """
    if choice.voice.own:
        profile = Profiles(settings.paths.profiles).find(choice.voice.aliases[0])
        check_usable(profile, require_consent=settings.stages.tts.require_consent)
    if choice.engine in settings.engines:
        from stages.tts.engines.external.client import Remote

        return Remote(choice.voice, settings)
    return LOADERS[choice.engine](choice.voice, settings)


def _hibari(voice: Voice, _: Settings) -> Engine:
    from stages.tts.engines.hibari import load_voice

    return load_voice(voice)


def _kokoro(voice: Voice, settings: Settings) -> Engine:
    from stages.tts.engines.kokoro.engine import Kokoro

    return Kokoro(voice, settings.paths.models)


def _xtts(voice: Voice, settings: Settings) -> Engine:
    from stages.tts.engines.xtts.engine import load as load_xtts

    if voice.own:
        return load_xtts(Profiles(settings.paths.profiles).find(voice.aliases[0]), settings)
    return load_xtts(voice.name, settings)


def _coqui(voice: Voice, settings: Settings) -> Engine:
    from stages.tts.engines.coqui.engine import load as load_coqui

    return load_coqui(voice.model, voice.name, voice.british)


#: Engine name → what loads it. Each imports its engine only when it is called.
LOADERS: dict[str, Callable[[Voice, Settings], Engine]] = {
    "hibari": _hibari,
    "kokoro": _kokoro,
    "xtts": _xtts,
    "coqui": _coqui,
}
