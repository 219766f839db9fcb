"""Chooses the voice that a manifest describes in words, such as "british female", or says what would bring one."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.tts.engines.base import Voice, primary_language
from stages.tts.engines.voice_hints import sentences, usable_now, where_all_are, who_can_bring
from stages.tts.engines.voice_words import VoiceWords, language_name, voices_meant

#: Most other voices that are named.
_MAX_OTHERS = 3


def choose_described(
    words: VoiceWords, voices: Sequence[Voice], manifest: Manifest, settings: Settings
) -> tuple[Voice, str]:
    """Choose among the installed voices that are as described and speak the job's language, and give the reason.

    Takes first a voice of the engine in `stages.tts.engine`, then one of the region in `language`, then the voice in
    `stages.tts.voice`, then the first in the order of the list. Voices of people (profiles) are never chosen.

    Raises:
        JobError: `language-unsupported`: the words name another language than the job's; `voice-not-installed`: such voices
            are known, and none is installed; `voice-unknown`: none is known.
    """
    language, tts = manifest.language, settings.stages.tts
    known = [voice for voice in voices if not voice.is_profile]
    if words.language and words.language != primary_language(language):
        raise _other_language(words, known, manifest, settings)
    fitting = [voice for voice in known if voice.installed and words.fit(voice, language)]
    if not fitting:
        raise _none_fits(words, known, manifest, settings)
    usual = voices_meant(tts.voice, fitting)
    voice = min(
        fitting,
        key=lambda v: (
            v.engine != tts.engine,
            "-" in language and language.casefold() not in map(str.casefold, v.languages),
            v not in usual,
        ),
    )
    others = [other.id for other in fitting if other != voice]
    also = (
        f"; also fitting: {', '.join(others[:_MAX_OTHERS])}{', …' if len(others) > _MAX_OTHERS else ''}"
        if others
        else ""
    )
    return voice, f"you asked for '{manifest.voice}'{also}"


def _other_language(words: VoiceWords, known: Sequence[Voice], manifest: Manifest, settings: Settings) -> JobError:
    name = language_name(words.language)
    own = language_name(primary_language(manifest.language))
    hint = f"Write `language: {words.language}` if the text is {name}; else ask for a voice for {own}."
    if not any(voice.installed and words.fit(voice, words.language) for voice in known):
        hint += f" Such a voice is not installed yet. {what_brings(words, known, words.language, settings)}"
    return JobError(
        "language-unsupported",
        f"`voice: {manifest.voice}` asks for {name}, but the job's `language` is '{manifest.language}'.",
        hint,
    )


def _none_fits(words: VoiceWords, known: Sequence[Voice], manifest: Manifest, settings: Settings) -> JobError:
    language = manifest.language
    there = any(words.fit(voice, language) for voice in known)
    return JobError(
        "voice-not-installed" if there else "voice-unknown",
        f"`voice: {manifest.voice}` asks for {words.describe(language)}, and none is installed here.",
        what_brings(words, known, language, settings),
    )


def what_brings(words: VoiceWords, known: Sequence[Voice], language: str, settings: Settings) -> str:
    """Return what brings a voice that is as described; where none is known, which voices come near."""
    fit = next((voice for voice in known if voice.missing and words.fit(voice, language)), None)
    if fit and fit.missing:
        one = f"{fit.id} is one, but {fit.missing.why}."
        return sentences(one, who_can_bring(fit.missing), usable_now(known, language, settings))
    unsure = [v for v in known if words.gender and not v.gender and words.fit_but_for_gender(v, language)]
    near = [voice for voice in unsure if voice.installed] or unsure
    if near:
        names = ", ".join(voice.id for voice in near[:_MAX_OTHERS])
        unsaid = f"Nothing says whether these are male or female: {names}. Name one of them, or leave the gender out."
        missing = near[0].missing
        return sentences(unsaid, f"But {missing.why}. {who_can_bring(missing)}") if missing else unsaid
    able = [voice.id for voice in known if voice.installed and voice.speaks(language)]
    name = language_name(primary_language(language))
    if able:
        return f"These speak {name}: {', '.join(able[:_MAX_OTHERS])}. All are listed {where_all_are(settings)}."
    near = [voice for voice in known if voice.missing and voice.speaks(language)]
    if near and near[0].missing:
        return f"For {name} there is {near[0].id}, but {near[0].missing.why}. {who_can_bring(near[0].missing)}"
    return "No voice for it is known. Provide the speech as a sound file with `audio`."
