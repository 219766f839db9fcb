"""Every voice engine, by name: those of `TTS_ENGINES`, each a package beside this file with its record, `ENGINE`."""

from __future__ import annotations

import importlib
from typing import Any

from daemon.config import Settings
from daemon.config.settings import TTS_ENGINES
from daemon.system.installation import Missing, packages_missing
from stages.tts.engines.base import TextNeeds, TtsEngine
from stages.tts.engines.external import probe


def _record(name: str) -> TtsEngine:
    package: Any = importlib.import_module(f"{__package__}.{name}")
    engine: TtsEngine = package.ENGINE
    if engine.name != name:
        raise ValueError(f"the engine in {package.__name__} is called {engine.name!r}")
    return engine


#: In the order in which voices are taken: of two of the same name the first, unless config.yaml prefers an engine.
ENGINES: dict[str, TtsEngine] = {name: _record(name) for name in TTS_ENGINES}


def engine_missing(engine: TtsEngine, settings: Settings) -> Missing | None:
    """Why none of an engine's voices can be used here, and what to do; None where one may. Imports none of its packages."""
    return engine.refused(settings) or engine_packages_missing(engine, settings) or engine.missing(settings)


def engine_packages_missing(engine: TtsEngine, settings: Settings) -> Missing | None:
    """What of its packages is missing: here, or in the Python that config.yaml gives it."""
    if program := settings.engines.get(engine.name):
        return probe.missing_in_python(engine, program)
    return packages_missing(engine.packages, engine.pins, engine.extra) if engine.extra else None


def text_needs_of(engine: str) -> TextNeeds:
    """What the engine of this name needs of the text; nothing where nothing is known, as of other people's programs."""
    return ENGINES[engine].needs if engine in ENGINES else TextNeeds()


def tries_of(engine: str, settings: Settings) -> int:
    """How often the engine of this name may say a piece to get it right."""
    return ENGINES[engine].tries(settings) if engine in ENGINES else 1
