"""What a lip-sync engine is, as everybody else knows it. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.config import Settings
from stages.context import Context, Facts
from stages.model_files.catalogue import Part

if TYPE_CHECKING:  # so that an engine can be chosen without numpy
    from stages.lipsync.audio_features import Sound


def _no_model(_: Settings) -> str:
    return ""


def _nothing_loaded() -> Facts:
    return {}


@dataclass(frozen=True)
class LipsyncEngine:
    """One engine: `ENGINE` in the module `stages.lipsync.engines.NAME`.

    Attributes:
        name: in config.yaml; listed in `daemon.config.settings.LipsyncEngineName`.
        paint: paints the mouth of a number of frames to a sound, into the job's folder, and gives facts for the status;
            None where the motion track itself moves the mouth.
        unload: gives back the memory of what is loaded; what is held and free afterwards, empty where nothing was loaded.
        packages: modules that it imports, and `module`, its own that imports them all; empty where the base install does.
        extra: of pyproject.toml, that brings the packages.
        models: its model files, by what `avatar models` calls them.
        model: which of them the settings ask for. An engine with model files is only taken by itself where they are
            complete and a CUDA GPU can be used.
    """

    name: str
    paint: Callable[[Context, Sound, int], Facts] | None = None
    unload: Callable[[], Facts] = _nothing_loaded
    packages: tuple[str, ...] = ()
    module: str = ""
    extra: str = ""
    models: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    model: Callable[[Settings], str] = _no_model
