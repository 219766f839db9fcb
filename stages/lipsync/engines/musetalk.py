"""The engine `musetalk`: a neural network paints the mouth (`stages.musetalk`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from daemon.config import Settings
from stages.context import Context, Facts
from stages.lipsync.engines.base import LipsyncEngine
from stages.musetalk.model_files import MODELS

if TYPE_CHECKING:
    from stages.lipsync.audio_features import AudioFeatures


def _paint_mouths(ctx: Context, audio: AudioFeatures, frames: int) -> Facts:
    from stages.musetalk.paint import paint_mouths

    return paint_mouths(ctx, audio, frames)


def _unload() -> Facts:
    paint = sys.modules.get("stages.musetalk.paint")  # if it was never imported, nothing is loaded
    return paint.unload() if paint else {}


def model_name(settings: Settings) -> str:
    """Return the name that `avatar models` uses for the files of the configured version."""
    return "musetalk" if settings.stages.lipsync.musetalk.version == "1.5" else "musetalk-v1"


def model_title(settings: Settings) -> str:
    """Return the name of the configured model for people, by which its loads and unloads are told."""
    return f"MuseTalk {settings.stages.lipsync.musetalk.version}"


ENGINE = LipsyncEngine(
    "musetalk", _paint_mouths, _unload, packages=("torch", "safetensors"), module="stages.musetalk.paint", extra="musetalk",
    models=MODELS, model=model_name,
)  # fmt: skip
