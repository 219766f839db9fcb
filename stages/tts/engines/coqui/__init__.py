"""The engine `coqui`: Coqui's VITS models of English (LJSpeech, VCTK), which report the duration of each phone."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.config import Settings
from daemon.system.installation import Missing, how_to_fetch_models
from stages.model_files.catalogue import check_model_files
from stages.tts.engines import coqui_library
from stages.tts.engines.base import LoadedVoice, TtsEngine, Voice
from stages.tts.engines.coqui.model_files import MODELS

_LJSPEECH, _VCTK = "coqui-ljspeech", "coqui-vctk"
_FOLDERS = {_LJSPEECH: "coqui/ljspeech-vits", _VCTK: "coqui/vctk-vits"}


def _voices(settings: Settings) -> list[Voice]:
    """Return the voice of LJSpeech, and those of VCTK if their list of names is there."""
    root = settings.paths.models
    missing = {model: _missing(model, root) for model in _FOLDERS}  # once, not for each of a hundred voices
    return [
        Voice("coqui", name, (language,), gender, "Apache-2.0", root / _FOLDERS[model], missing=missing[model])
        for model, name, language, gender in _list_named(root / _FOLDERS[_VCTK] / "speaker_ids.json")
    ]


def _list_named(names: Path) -> list[tuple[str, str, str, str]]:
    """Return (model, voice, language, gender) of each. The names of VCTK's speakers do not tell accent or gender."""
    found = [(_LJSPEECH, "ljspeech", "en-US", "female")]
    try:
        numbers = json.loads(names.read_bytes())
        return found + [(_VCTK, str(name).strip(), "en-GB", "") for name in numbers if str(name).strip()]
    except (OSError, ValueError, TypeError):
        return found


def _missing(model: str, root: Path) -> Missing | None:
    """Return the first missing or damaged file of a model; None for none."""
    for look in check_model_files(MODELS[model], root):
        if not look.usable:
            return Missing(f"{look.file.path}: {look.why or 'it is missing'}", how_to_fetch_models(model))
    return None


def _load(voice: Voice, _: Settings) -> LoadedVoice:
    from stages.tts.engines.coqui.engine import load_coqui

    return load_coqui(voice.model, voice.name, voice.british)


ENGINE = TtsEngine(
    "coqui", _voices, _load, packages=(*coqui_library.PACKAGES, "hibari", "onnxruntime"), pins=coqui_library.PINS,
    extra="xtts", models=MODELS,
)  # fmt: skip
