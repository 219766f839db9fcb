"""Estimates how long a text is when it is spoken, before any voice has spoken it."""

from __future__ import annotations

import unicodedata

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest

#: Characters spoken in a second at the usual rate, pauses included.
CHARS_PER_S = 14.0
#: A Chinese, Japanese or Korean character takes as long as this many others.
_WIDE_CHARS = 3


def estimated_s(text: str, speed: float = 1.0) -> float:
    """Return about how long a text is when it is spoken, in s. `speed`: that of the manifest."""
    if text.isascii():
        return len(text) / CHARS_PER_S / speed
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return (len(text) + (_WIDE_CHARS - 1) * wide) / CHARS_PER_S / speed


def check_estimate(manifest: Manifest, settings: Settings) -> None:
    """Refuse a text whose speech would surely be refused when it has been synthesized.

    Raises:
        JobError: `audio-too-long`.
    """
    if manifest.text is None or manifest.audio is not None:
        return
    seconds, limit = estimated_s(manifest.text, manifest.speed), settings.stages.tts.max_audio_s
    if seconds > limit:
        raise JobError(
            "audio-too-long",
            f"The text would be about {_minutes(seconds)} of speech; {_minutes(limit)} are allowed.",
            "Shorten it, split it into several jobs, or raise `stages.tts.max_audio_s` in config.yaml.",
        )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
