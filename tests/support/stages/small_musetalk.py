"""The smallest MuseTalk with a layer of every kind and random weights, for tests of what a GPU does: a call of it takes long."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch

from benchmarks.musetalk.random_models import Architecture, write_random_models
from stages.musetalk.device import Placement
from stages.musetalk.networks.unet import UNetShape
from stages.musetalk.networks.vae import VaeShape
from stages.musetalk.networks.whisper import WhisperShape
from stages.musetalk.painter import Painter

_SHAPES = Architecture(
    UNetShape(channels=(8, 16), heads=2, groups=4, layers=1),
    VaeShape(channels=(8, 8, 16, 16), groups=4, layers=1),
    WhisperShape(inner=32),
)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Write the model files once for this process, at whose end they go."""
    made = tempfile.TemporaryDirectory(prefix="small-musetalk-")
    write_random_models(Path(made.name), _SHAPES)
    return made


def small_models() -> Path:
    """Return the models folder of the network."""
    return Path(_folder().name)


def load_small_painter(dtype: torch.dtype = torch.float32, batch: int = 1) -> Painter:
    """Return the engine on the processor. A pass always computes the whole `batch`, also for fewer frames."""
    return Painter.load("musetalk", small_models(), Placement(torch.device("cpu"), dtype), batch=batch)
