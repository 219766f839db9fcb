"""The voices of this installation, read from the engine's registry without importing the engine."""

from __future__ import annotations

import difflib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daemon.errors import JobError, MachineError

#: What a manifest says when it does not care; stands for `stages.tts.voice`.
DEFAULT = "default"


@dataclass(frozen=True)
class Voice:
    """One installed voice.

    Attributes:
        name: what the manifest calls it.
        language: BCP 47 tag, such as en-US.
        british: which pronunciation it was trained with.
        model: its ONNX file.
    """

    name: str
    language: str
    british: bool
    model: Path


@cache
def _assets() -> Path:
    spec = importlib.util.find_spec("hibari")  # does not run the package
    if spec is None or spec.origin is None:
        raise MachineError(
            "voice-missing", "The speech engine hibari-tts is not installed.", "Install avatard again: `make setup`."
        )
    return Path(spec.origin).parent / "assets"


@cache
def _registry() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((_assets() / "voices.json").read_text(encoding="utf-8"))
    return found


def voices() -> dict[str, Voice]:
    """Voices whose model is installed, by name."""
    return {
        name: Voice(name, entry["language"], entry["british"], _assets() / entry["file"])
        for name, entry in _registry().items()
        if entry.get("bundled")
    }


def find_voice(name: str, default: str) -> Voice:
    """The voice a manifest asks for.

    Raises:
        JobError: `voice-unknown`, naming the nearest and all that exist.
        MachineError: `voice-missing`: the default voice, or the whole engine, is not installed.
    """
    wanted = name.strip().casefold()
    installed = voices()
    voice = installed.get(default if wanted == DEFAULT else wanted)
    if voice is not None:
        return voice
    if wanted == DEFAULT:
        raise MachineError(
            "voice-missing",
            f"The voice '{default}' that config.yaml names is not installed.",
            f"Set `stages.tts.voice` to one of: {', '.join(installed)}.",
        )
    hint = f"Installed voices: {DEFAULT}, {', '.join(installed)}."
    if wanted in _registry():
        raise JobError("voice-unknown", f"The voice '{name}' is not installed here.", hint)
    near = difflib.get_close_matches(wanted, [DEFAULT, *installed], 1, 0.5)
    if near:
        hint = f"Did you mean '{near[0]}'? {hint}"
    raise JobError("voice-unknown", f"There is no voice named '{name}'.", hint)


def lexicon_file(name: str) -> Path:
    """A data file of the engine, such as vocab.json."""
    return _assets() / name
