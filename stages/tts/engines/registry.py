"""Maps names to the records of the built-in voice engines: for each of `TTS_ENGINES` a package here with `ENGINE`."""

from __future__ import annotations

import importlib
from typing import Any

from daemon.config import Settings
from daemon.config.engines import TTS_ENGINES
from daemon.system.installation import Missing, packages_missing
from stages.tts.engines.base import TextNeeds, TtsEngine
from stages.tts.engines.external import probe


def _record(name: str) -> TtsEngine:
    package: Any = importlib.import_module(f"{__package__}.{name}")
    engine: TtsEngine = package.ENGINE
    if engine.name != name:
        raise ValueError(f"the engine in {package.__name__} is called {engine.name!r}")
    return engine


#: In order of preference: of two voices of one name the first is taken, unless config.yaml prefers an engine.
ENGINES: dict[str, TtsEngine] = {name: _record(name) for name in TTS_ENGINES}


def engine_missing(engine: TtsEngine, settings: Settings) -> Missing | None:
    """Return why no voice of an engine can be used here; None where one may. Imports none of its packages."""
    return engine.refused(settings) or engine_packages_missing(engine, settings) or engine.missing(settings)


def engine_packages_missing(engine: TtsEngine, settings: Settings) -> Missing | None:
    """Return which packages an engine lacks, here or in the Python that config.yaml names for it; None for none."""
    if program := settings.engines.get(engine.name):
        return probe.missing_in_python(engine, program)
    return packages_missing(engine.packages, engine.pins, engine.extra) if engine.extra else None


def text_needs_of(engine: str) -> TextNeeds:
    """Return the text needs of an engine by name; the defaults for an external engine."""
    return ENGINES[engine].needs if engine in ENGINES else TextNeeds()


def tries_of(engine: str, settings: Settings) -> int:
    """Return how often an engine may say a piece until nothing is wrong; 1 for an external engine."""
    return ENGINES[engine].tries(settings) if engine in ENGINES else 1
