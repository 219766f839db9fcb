"""The engine `musetalk`: a network paints the mouth (`stages.musetalk`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from daemon.config import Settings
from stages.context import Context, Facts
from stages.lipsync.engines.base import LipsyncEngine
from stages.musetalk.model_files import MODELS

if TYPE_CHECKING:
    from stages.lipsync.audio_features import Sound


def _paint(ctx: Context, sound: Sound, frames: int) -> Facts:
    from stages.musetalk.paint import paint_mouths

    return paint_mouths(ctx, sound, frames)


def _unload() -> Facts:
    paint = sys.modules.get("stages.musetalk.paint")  # where it was never imported, nothing is loaded
    return paint.unload() if paint else {}


def model(settings: Settings) -> str:
    """What `avatar models` calls the files of the configured version."""
    return "musetalk" if settings.stages.lipsync.musetalk.version == "1.5" else "musetalk-v1"


ENGINE = LipsyncEngine(
    "musetalk", _paint, _unload, packages=("torch", "safetensors"), module="stages.musetalk.paint", extra="musetalk",
    models=MODELS, model=model,
)  # fmt: skip
