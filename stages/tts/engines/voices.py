"""Lists the voices of this installation and whether each can be used. Loads no engine and no model."""

from __future__ import annotations

from dataclasses import replace

from daemon.config import Settings
from stages.tts.engines.base import Voice
from stages.tts.engines.registry import ENGINES, engine_missing


def list_voices(settings: Settings) -> list[Voice]:
    """Return all known voices, installed or not, in the order of the engines; external engines come last."""
    found = []
    for engine in ENGINES.values():
        missing = engine_missing(engine, settings)  # once, not for each of a hundred voices
        found += [replace(voice, missing=voice.missing or missing) for voice in engine.voices(settings)]
    return found + _external(settings)


def _external(settings: Settings) -> list[Voice]:
    """Return the voices of the engines that config.yaml defines under `engines` with a command."""
    return [
        Voice(name, voice, (language,), "", engine.licence)
        for name, engine in settings.engines.items()
        for voice, language in engine.voices.items()
    ]
