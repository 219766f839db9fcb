"""Estimates the speech of a text before any voice has spoken it: its length, and what it takes on the disk."""

from __future__ import annotations

import unicodedata

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest

#: The pieces of a longer text are kept until the whole text is spoken, so that it goes on where it was interrupted.
LONG_TEXT_CHARS = 5000
#: Characters spoken in a second at the usual rate, pauses included.
CHARS_PER_S = 14.0
#: A Chinese, Japanese or Korean character takes as long as this many others.
_WIDE_CHARS = 3
#: What a second of a long text takes in the spool at most: its pieces (float32 at 48 kHz), and the finished sound (16 bits).
_PIECES_BYTES_PER_S, _SOUND_BYTES_PER_S = 200_000, 96_000


def estimated_s(text: str, speed: float = 1.0) -> float:
    """Return about how long a text is when it is spoken, in s. `speed`: that of the manifest."""
    if text.isascii():
        return len(text) / CHARS_PER_S / speed
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return (len(text) + (_WIDE_CHARS - 1) * wide) / CHARS_PER_S / speed


def spoken_text(manifest: Manifest) -> str:
    """Return the text that a voice speaks in a job; empty where a sound file is heard, or nothing."""
    speaks = manifest.audio is None and "tts" in manifest.kind_of_job.stages
    return (manifest.text or "").strip() if speaks else ""


def check_text_length(manifest: Manifest, settings: Settings) -> None:
    """Refuse a text that is too long as it is written, or whose speech would surely be refused when it has been synthesized.

    Raises:
        JobError: `text-too-long`, `audio-too-long`.
    """
    text, most = spoken_text(manifest), settings.intake.max_text_chars
    if len(text) > most:
        raise JobError(
            "text-too-long",
            f"The text has {len(text):,} characters; {most:,} are allowed.",
            "Shorten it, or split it into several jobs. Whoever runs avatard can raise `intake.max_text_chars` in config.yaml.",
        )
    seconds, limit = estimated_s(text, manifest.speed), settings.stages.tts.max_audio_s
    if seconds > limit:
        raise JobError(
            "audio-too-long",
            f"The text would be about {minutes_or_seconds(seconds)} of speech; {minutes_or_seconds(limit)} are allowed.",
            "Shorten it, or split it into several jobs. Whoever runs avatard can raise `stages.tts.max_audio_s` in config.yaml.",
        )


def bytes_while_spoken(manifest: Manifest) -> int:
    """Return what the speech of a long text takes on the spool's disk until it is spoken; 0 for other texts."""
    text = spoken_text(manifest)
    if len(text) <= LONG_TEXT_CHARS:
        return 0
    return round(estimated_s(text, manifest.speed) * (_PIECES_BYTES_PER_S + _SOUND_BYTES_PER_S))


def minutes_or_seconds(seconds: float) -> str:
    """Return a length of time for people, such as "90 s" or "3 minutes"."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
