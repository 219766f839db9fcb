"""Contracts of import-linter that read a table of the program, so that a new row needs no line in pyproject.toml."""

from __future__ import annotations

from typing import Any

from importlinter.contracts.independence import IndependenceContract

from daemon.config.engines import TTS_ENGINES


class VoiceEnginesContract(IndependenceContract):
    """Checks that no engine of `TTS_ENGINES` imports another one, not even by way of a third module."""

    type_name = "voice_engines"

    def __init__(self, name: str, session_options: dict[str, Any], contract_options: dict[str, Any]) -> None:
        modules = [f"stages.tts.engines.{engine}" for engine in TTS_ENGINES]
        super().__init__(name, session_options, {**contract_options, "modules": modules})
