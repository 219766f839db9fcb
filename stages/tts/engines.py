"""Which engine speaks, with which voice, and why; and the loaded one, kept for the jobs that follow in this process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from daemon.config import Settings
from daemon.manifest import Manifest
from stages.tts.engine import Engine
from stages.tts.voices import Voice, find_voice


@dataclass(frozen=True)
class Choice:
    """An engine and a voice of it, and the reason in words for the status."""

    engine: str
    voice: Voice
    why: str


def resolve(manifest: Manifest, settings: Settings) -> Choice:
    """The engine and voice for a job.

    Raises:
        JobError: `voice-unknown`.
        MachineError: `voice-missing`.
    """
    tts = settings.stages.tts
    why = "the built-in voice" if tts.engine == "auto" else "set in config.yaml"
    return Choice("hibari", find_voice(manifest.voice, tts.voice), why)


@lru_cache(maxsize=1)
def load(choice: Choice) -> Engine:
    """The engine with its model in memory; one at a time."""
    from stages.tts.hibari import Hibari

    return Hibari(choice.voice)
