"""The record that describes a lip-sync engine to the rest of the program. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.config import Settings
from stages.context import Context, Facts
from stages.model_files.catalogue import ModelPart

if TYPE_CHECKING:  # so that an engine can be chosen without numpy
    from stages.lipsync.audio_features import AudioFeatures


def _no_model(_: Settings) -> str:
    return ""


def _nothing_loaded() -> Facts:
    return {}


@dataclass(frozen=True)
class LipsyncEngine:
    """One engine: `ENGINE` in the module `stages.lipsync.engines.NAME`.

    Attributes:
        name: name in config.yaml; listed in `daemon.config.engines.LIPSYNC_ENGINES`.
        paint: paints the mouths for the given audio features and number of frames into the job's folder, and returns facts
            for the status; None if the motion track moves the mouth.
        unload: unloads its models; returns the memory held and free afterwards, empty if nothing was loaded.
        packages: modules that it needs besides the base installation's.
        module: its own module that imports all of `packages`; empty if there are none.
        extra: extra of pyproject.toml that installs the packages.
        models: its model files, by the names that `avatar models` uses.
        model: returns the key of `models` that the settings select. "auto" chooses an engine with model files only if they
            are complete and a CUDA GPU can be used.
    """

    name: str
    paint: Callable[[Context, AudioFeatures, int], Facts] | None = None
    unload: Callable[[], Facts] = _nothing_loaded
    packages: tuple[str, ...] = ()
    module: str = ""
    extra: str = ""
    models: Mapping[str, tuple[ModelPart, ...]] = field(default_factory=dict)
    model: Callable[[Settings], str] = _no_model
