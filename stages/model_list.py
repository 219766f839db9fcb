"""Lists the model files of all engines, by the names that `avatar models` uses. Loads no model."""

from __future__ import annotations

from stages.generate.model_files import MODELS as GENERATE_MODELS
from stages.lipsync.registry import ENGINES as LIPSYNC_ENGINES
from stages.model_files.catalogue import ModelPart
from stages.tts.engines.registry import ENGINES as TTS_ENGINES

MODELS: dict[str, tuple[ModelPart, ...]] = {**GENERATE_MODELS}
for _lipsync in LIPSYNC_ENGINES.values():
    MODELS.update(_lipsync.models)
for _tts in TTS_ENGINES.values():
    MODELS.update(_tts.models)


def find_parts(name: str) -> tuple[ModelPart, ...] | None:
    """Return the model files of a name of `MODELS`, or of a voice that has files of its own, such as
    "piper/de_DE-thorsten-medium"; None for another name.
    """
    engine, _, voice = name.partition("/")
    named = TTS_ENGINES[engine].named_models if engine in TTS_ENGINES else None
    return named(voice) if named and voice else MODELS.get(name)


def named_forms() -> tuple[str, ...]:
    """Return the form of the names of voices that have files of their own: "piper/NAME"."""
    return tuple(f"{engine.name}/NAME" for engine in TTS_ENGINES.values() if engine.named_models)
