"""Lists the model files of all engines, by the names that `avatar models` uses. Loads no model."""

from __future__ import annotations

from stages.lipsync.registry import ENGINES as LIPSYNC_ENGINES
from stages.model_files.catalogue import ModelPart
from stages.tts.engines.registry import ENGINES as TTS_ENGINES

MODELS: dict[str, tuple[ModelPart, ...]] = {}
for _lipsync in LIPSYNC_ENGINES.values():
    MODELS.update(_lipsync.models)
for _tts in TTS_ENGINES.values():
    MODELS.update(_tts.models)
