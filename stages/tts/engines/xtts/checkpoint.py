"""Finds XTTS's model files, and reads them without executing code in them.

The published model.pth is a pickle that contains configuration objects of coqui-tts, which that library removes from the file
when it first loads it. Here empty placeholders replace the objects in memory, so the file stays unchanged, may be on a
read-only disk, and several processes may load it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from daemon.errors import MachineError
from daemon.system.installation import how_to_fetch_models
from stages.model_files.catalogue import check_model_files
from stages.model_files.checkpoint import foreign_model_error as is_foreign
from stages.model_files.checkpoint import read_checkpoint
from stages.tts.engines.xtts.model_files import PARTS

#: Full names of the configuration classes in the published file.
_CONFIG_CLASSES = (
    "TTS.tts.configs.xtts_config.XttsConfig",
    "TTS.tts.configs.xtts_config.XttsArgs",
    "TTS.tts.configs.xtts_config.XttsAudioConfig",
    "TTS.tts.models.xtts.XttsArgs",
    "TTS.tts.models.xtts.XttsAudioConfig",
    "TTS.config.shared_configs.BaseDatasetConfig",
)
#: Modules that only training needs.
_TRAINING = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")


def _fetch_hint() -> str:
    return f"Check with `avatar models verify xtts`. To download it again: {how_to_fetch_models('xtts')}"


@dataclass(frozen=True)
class XttsFiles:
    """Paths of the model files; `speakers`, the model's own voices, is None where it is missing."""

    model: Path
    config: Path
    vocab: Path
    speakers: Path | None


def find_files(root: Path) -> XttsFiles:
    """Find the engine's files below the models folder.

    Raises:
        MachineError: `model-missing` or `model-damaged`.
    """
    found: dict[str, Path | None] = {}
    for look in check_model_files(PARTS, root):
        path = root / look.file.path
        if look.state == "damaged":
            raise MachineError("model-damaged", f"{path} is damaged: {look.why}.", _fetch_hint())
        if look.state == "missing" and look.part.role != "speakers":
            raise MachineError(
                "model-missing", f"{path} does not exist ({look.part.what}).", how_to_fetch_models("xtts")
            )
        found[look.part.role] = None if look.state == "missing" else path
    model, config, vocab = (found[role] for role in ("model", "config", "vocab"))
    assert model is not None
    assert config is not None
    assert vocab is not None
    return XttsFiles(model, config, vocab, found["speakers"])


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the network's tensors by name, float32; memory-maps those stored as float32.

    Raises:
        MachineError: `model-damaged`: it cannot be read; `model-foreign`: it contains unknown objects.
    """
    content = read_checkpoint(path, _CONFIG_CLASSES, _fetch_hint())
    state = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise foreign_file_error(path, "it has no tensors under `model`")
    plain = {name.removeprefix("xtts."): value for name, value in state.items()}
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in plain.items()
        if name.partition(".")[0] not in _TRAINING
    }


def read_speakers(path: Path) -> Any:
    """Read the content of speakers_xtts.pth.

    Raises:
        MachineError: as `read_state`.
    """
    return read_checkpoint(path, _CONFIG_CLASSES, _fetch_hint())


def foreign_file_error(path: Path, why: str) -> MachineError:
    """Return the error `model-foreign` for a file that is not XTTS's."""
    return is_foreign(path, why, _fetch_hint())
