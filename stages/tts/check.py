"""Checks of what is to be said that need no model, so that a hopeless job fails before any work is done for it."""

from __future__ import annotations

from collections import Counter

from daemon.config import Settings
from daemon.errors import JobError
from daemon.manifest import Manifest
from stages.tts.letters import can_say, plain_text, script_of
from stages.tts.voices import find_voice


def check_request(manifest: Manifest, settings: Settings) -> None:
    """Language, voice and text of a job; nothing to check when it brings its own sound.

    Raises:
        JobError: `language-unsupported`, `voice-unknown`, or what `check_text` raises.
    """
    if manifest.text is None:
        return
    if manifest.language.casefold().partition("-")[0] != "en":
        raise JobError(
            "language-unsupported",
            f"There is no voice for the language '{manifest.language}' here.",
            "Use `language: en`, or bring the speech as a sound file with `audio`.",
        )
    find_voice(manifest.voice, settings.stages.tts.voice)
    check_text(manifest.text, settings)


def check_text(text: str, settings: Settings) -> None:
    """Whether an English voice can say this text.

    Raises:
        JobError: `text-empty`, `text-too-long`, `text-not-english` or `text-unspeakable`.
    """
    if not text.strip():
        raise JobError("text-empty", "The text is empty.", "Write what is to be said under `text`.")
    limit = settings.intake.max_text_chars
    if len(text) > limit:
        raise JobError(
            "text-too-long",
            f"The text has {len(text):,} characters; {limit:,} are allowed.",
            "Shorten it, split it into several jobs, or raise `intake.max_text_chars` in config.yaml.",
        )
    scripts = Counter(filter(None, map(script_of, plain_text(text))))
    latin = scripts.pop("Latin", 0)
    if scripts.total() > latin:
        raise JobError(
            "text-not-english",
            f"Most of the text is in {_names(scripts)} letters, which the English voice cannot read.",
            "Write the text in English, or bring the speech as a sound file with `audio`.",
        )
    if not can_say(text):
        raise JobError(
            "text-unspeakable", "The text has no letters or digits, only signs.", "Write words that can be spoken."
        )


def _names(scripts: Counter[str]) -> str:
    # Japanese is written with Chinese characters too: where kana occur, it is one script for the reader.
    if "Japanese" in scripts:
        scripts = Counter(scripts)
        scripts["Japanese"] += scripts.pop("Chinese", 0)
    return " and ".join(name for name, _ in scripts.most_common(2))
