"""Says what to do about a voice that cannot be used: who can bring it, which one works until then, which name was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from daemon.config import Settings
from daemon.errors import JobError, who_can_change
from daemon.system.installation import Missing
from stages.tts.engines.base import Voice
from stages.tts.engines.voice_words import correct_voice_words, language_name, voices_meant, words_not_known

#: The manifest's name for the voice in `stages.tts.voice`.
DEFAULT_VOICE = "default"
#: Most voices named in a hint; `all_voices` names where all are.
MAX_LISTED = 8
_SOUNDS = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".opus", ".aac")


def who_can_bring(missing: Missing) -> str:
    """Return what brings what is missing, and who can do it, as sentences."""
    return who_can_change(missing.remedy)


def usable_now(voices: Sequence[Voice], language: str, settings: Settings) -> str:
    """Return a sentence that names an installed voice for a language (BCP 47 tag); empty where there is none."""
    tts = settings.stages.tts
    able = [voice for voice in voices if voice.installed and voice.speaks(language) and not voice.is_profile]
    if not able:
        return ""
    usual = voices_meant(tts.voice, able)
    voice = min(able, key=lambda v: (v.engine != tts.engine, v not in usual))
    name = voice.name if tts.engine in ("auto", voice.engine) else voice.id
    about = ", ".join(filter(None, (language_name(voice.languages[0]), voice.gender)))
    return f"Until then `voice: {name}` can be used ({about})."


def sentences(*parts: str) -> str:
    """Join sentences, of which some are empty."""
    return " ".join(filter(None, parts))


def all_voices(settings: Settings) -> str:
    """Return where all voices are listed: for people who have only the folders, if that is there."""
    return "voices.txt in the outbox" if settings.intake.voices_page else "`avatar voice list`"


def where_all_are(settings: Settings) -> str:
    """Return the same as the end of a sentence."""
    return f"{'in' if settings.intake.voices_page else 'by'} {all_voices(settings)}"


def language_unsupported(voices: Sequence[Voice], language: str, message: str, settings: Settings) -> JobError:
    """Return the error of a job whose language no voice that it may use speaks. `message`: what was asked for.

    The hint never proposes another language: a text that is read by the voice of another one is not understood.
    """
    able = [voice.id for voice in voices if voice.installed and voice.speaks(language)]
    if able:
        return JobError("language-unsupported", message, f"These speak '{language}': {comma_list(able[:MAX_LISTED])}.")
    own_sound = "provide the speech as a sound file with `audio`."
    near = nearest_voice(voices, language)
    if near and near.missing:
        hint = f"{near.id} speaks '{language}', but {near.missing.why}. {who_can_bring(near.missing)} Until then, {own_sound}"
    else:
        hint = (
            f"`language` is the language of the text; {all_voices(settings)} lists the languages that can be spoken. If yours "
            f"is not there, {own_sound}"
        )
    return JobError("language-unsupported", message, hint)


def nearest_voice(voices: Sequence[Voice], language: str) -> Voice | None:
    """Return the first voice of a language that is no profile, installed or not."""
    return next((voice for voice in voices if voice.speaks(language) and not voice.is_profile), None)


#: Least likeness (difflib's ratio) of a mistyped name and that of a voice: “child” is no “michael”.
_LIKENESS = 0.7
#: What people write who want no voice in particular.
_NO_VOICE = frozenset({"none", "no", "off", "auto", "any", "null"})


def name_hint(voices: Sequence[Voice], wanted: str, settings: Settings, key: str = "voice") -> str:
    """Return a hint with the most similar name or description, and some installed voices. `key`: where `wanted` is written."""
    if wanted.endswith(_SOUNDS):
        return (
            "A sound file is no voice. To have it heard as it is, write `audio` in place of `voice`; to speak with the voice in "
            "it, make a profile of it first: a job of its own with `kind: voice`, the sound file as `audio`, and `profile: "
            "{name: NAME}`. Then write `voice: NAME`."
        )
    there = [voice for voice in voices if voice.installed]
    known = {name.casefold(): name for voice in voices for name in (voice.name, voice.id, *voice.aliases)}
    near = difflib.get_close_matches(wanted, [DEFAULT_VOICE, *known], 1, _LIKENESS)
    meant = correct_voice_words(wanted)
    if wanted in _NO_VOICE:
        return f"Leave `{key}` out to have the usual voice. All are listed {where_all_are(settings)}."
    if not meant and (unknown := words_not_known(wanted)):
        hint = f"As a description it has words that are not known: {comma_list(unknown)}. "
    else:
        meant = meant or (known.get(near[0], near[0]) if near else "")
        hint = f"Did you mean '{meant}'? " if meant else ""
    more = ", …" if len(there) > MAX_LISTED else ""
    return (
        f"{hint}Write a voice's name, or words for gender, accent and language, such as `{key}: american female`. Installed: "
        f"{comma_list([DEFAULT_VOICE, *[voice.id for voice in there[:MAX_LISTED]]])}{more}. "
        f"All are listed {where_all_are(settings)}."
    )


def comma_list(names: Sequence[str]) -> str:
    """Join names for a sentence."""
    return ", ".join(names)
