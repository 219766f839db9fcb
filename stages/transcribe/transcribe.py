"""Recognises the words of a recording, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Settings
from stages.media.wav import open_wav
from stages.transcribe.base import Heard, HeardWord, Recogniser
from stages.transcribe.chunks import cut_chunks


@dataclass(frozen=True)
class Transcript:
    """The words of a recording.

    Attributes:
        parts: what was heard in each chunk that contains words; the times of `words` count from the recording's start.
        language: primary tag.
    """

    parts: tuple[Heard, ...]
    language: str

    @property
    def text(self) -> str:
        """All words as written."""
        return " ".join(part.text for part in self.parts)


def transcribe_file(
    path: Path, recogniser: Recogniser, settings: Settings, language: str, progress: Callable[[float], None]
) -> Transcript:
    """Recognise the words of a 16-bit mono WAV of any length.

    Args:
        language: BCP 47 tag of the manifest. English is also its default, so a recogniser that can finds the language out.
        progress: called with the share of the recording that is done, 0 to 1.

    Raises:
        MachineError: `recogniser-unusable`.
    """
    primary = language.casefold().partition("-")[0]
    known = "" if primary == "en" else primary
    parts: list[Heard] = []
    with open_wav(path) as file, recogniser.load(settings) as loaded:
        seconds = max(file.count / file.rate, 1e-3)
        for chunk in cut_chunks(file.blocks(), file.rate):
            heard = loaded.hear(chunk.samples, known)
            if heard.text:
                parts.append(_shifted(heard, chunk.start))
                known = heard.language
            progress(min(1.0, chunk.end / seconds))
    return Transcript(tuple(parts), known or primary)


def _shifted(heard: Heard, start: float) -> Heard:
    words = tuple(HeardWord(word.text, start + word.start, start + word.end) for word in heard.words)
    return Heard(heard.text, heard.language, words)
