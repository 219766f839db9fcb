"""The engine `hibari`: a voice in a package of the base install, a hundred times faster than real time."""

from __future__ import annotations

import json
from typing import Any

from daemon.config import Settings
from stages.tts.engines.assets import hibari_assets
from stages.tts.engines.base import LoadedVoice, TtsEngine, Voice

#: What `python -m benchmarks.voice.voice_facts hibari` measured of the voices in the package.
_ABOUT = {"heart": "pitch 204 Hz, 227 words a minute"}


def _voices(_: Settings) -> list[Voice]:
    """Return the voices contained in the package, without those that it would download."""
    folder = hibari_assets()
    if folder is None:
        return []
    entries: dict[str, dict[str, Any]] = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    return [
        Voice(
            "hibari",
            name,
            (entry["language"],),
            entry["gender"],
            "Apache-2.0",
            folder / entry["file"],
            about=_ABOUT.get(name, ""),
        )
        for name, entry in entries.items()
        if entry.get("bundled")
    ]


def _load(voice: Voice, _: Settings) -> LoadedVoice:
    from stages.tts.engines.hibari.engine import load_hibari

    return load_hibari(voice)


ENGINE = TtsEngine("hibari", _voices, _load, packages=("hibari", "onnxruntime"))
