"""Checks a job's voice, language and text without loading a model, so that an impossible job fails at once."""

from __future__ import annotations

from collections import Counter

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.language import LANGUAGE_NAMES
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import check_text_length
from stages.tts.engines.base import primary_language
from stages.tts.engines.choose import VoiceChoice, choose_voice, how_to_get_voice
from stages.tts.engines.voice_hints import all_voices, sentences
from stages.tts.length_bounds import check_reachable
from stages.tts.text.clean import clean_text
from stages.tts.text.language_guess import guess_by_scripts, guess_other_language, other_language_warning
from stages.tts.text.markup import markup_warnings
from stages.tts.text.pause_marks import check_marks, without_marks
from stages.tts.text.scripts import can_say, script_names, scripts_of, scripts_of_others

_OWN_SOUND = "Provide the speech as a sound file with `audio`."


def check_request(manifest: Manifest, settings: Settings) -> VoiceChoice | None:
    """Check the voice, language and text of a job and return the chosen voice; None where the job names a sound file.

    Raises:
        JobError, MachineError: what `choose_voice`, `check_text_length`, `check_text` and `check_reachable` raise.
    """
    if manifest.text is None or manifest.audio is not None:
        return None
    choice = choose_voice(manifest, settings)
    check_text_length(manifest, settings)
    check_text(manifest.text, manifest.language, settings)
    check_reachable(manifest, settings)
    return choice


def check_text(text: str, language: str, settings: Settings) -> None:
    """Check that a voice of this language can speak this text. `settings`: for what would bring a voice for its own language.

    Raises:
        JobError: `text-empty`, `text-not-english`, `text-other-script`, `text-unspeakable` or `pause-invalid`.
    """
    written, text = text, clean_text(text)
    check_marks(text)
    if not without_marks(text).strip():
        why = "has only pauses, stage directions or markup" if written.strip() else "is empty"
        raise JobError("text-empty", f"The text {why}.", "Write the words to speak under `text`.")
    if scripts := scripts_of_others(without_marks(text), language):
        english = primary_language(language) == "en"
        raise JobError(
            "text-not-english" if english else "text-other-script",
            f"Most of the text is in {script_names(scripts)} letters, which the {'English ' if english else ''}voice cannot read"
            + ("." if english else f" as '{language}'."),
            _own_language_hint(text, scripts, settings),
        )
    if not can_say(without_marks(text), scripts_of(language)):
        raise JobError("text-unspeakable", "The text has no letters or digits.", "Write words that can be spoken.")


def text_warnings(manifest: Manifest, settings: Settings) -> list[str]:
    """Return what of a job's text is not spoken as it is written, and that it seems to be in another language than the job says.

    Empty where a job speaks no text.
    """
    if manifest.text is None or manifest.audio is not None or "tts" not in manifest.stages:
        return []
    found = list(markup_warnings(manifest.text))
    if other := guess_other_language(clean_text(manifest.text), manifest.language):
        found.append(other_language_warning(other, manifest.language, how_to_get_voice(other, settings)))
    return found


def _own_language_hint(text: str, scripts: Counter[str], settings: Settings) -> str:
    """Return what to do with a text in these scripts: set the language, and bring a voice for it where there is none."""
    tag = guess_by_scripts(text, scripts)
    if tag is None:
        return f"`language` is the language of the text; {all_voices(settings)} lists those that can be spoken. {_OWN_SOUND}"
    name, remedy = LANGUAGE_NAMES[tag], how_to_get_voice(tag, settings)
    lack = f"No voice here speaks {name} yet. {remedy} Until then: {_OWN_SOUND[0].lower()}{_OWN_SOUND[1:]}"
    return sentences(f"If the text is {name}, write `language: {tag}`.", lack if remedy else "")
