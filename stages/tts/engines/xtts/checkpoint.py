"""The model files: found, compared with what was published, and read without running anything in them.

The published model.pth is a pickle with objects of coqui-tts's configuration in it, which that library replaces by a plain
one, in place, when it first loads the file. Here the objects become empty boxes instead, so the file stays as it is, may
lie on a read-only disk, and may be loaded by several processes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from daemon.errors import MachineError
from daemon.system.installation import fetch_models
from stages.model_files.catalogue import survey
from stages.model_files.checkpoint import foreign as is_foreign
from stages.model_files.checkpoint import read_checkpoint
from stages.tts.engines.xtts.model_files import PARTS

#: Classes of the configuration that the published file holds, by the names it knows them by.
_CONFIG_CLASSES = (
    "TTS.tts.configs.xtts_config.XttsConfig",
    "TTS.tts.configs.xtts_config.XttsArgs",
    "TTS.tts.configs.xtts_config.XttsAudioConfig",
    "TTS.tts.models.xtts.XttsArgs",
    "TTS.tts.models.xtts.XttsAudioConfig",
    "TTS.config.shared_configs.BaseDatasetConfig",
)
#: What the trainer leaves in its files beside the network.
_TRAINING = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")


def _fetch_hint() -> str:
    return f"Look with `avatar models verify xtts`. To fetch it again: {fetch_models('xtts')}"


@dataclass(frozen=True)
class XttsFiles:
    """Where the parts are. `speakers` is None where the voices that come with the model are not there."""

    model: Path
    config: Path
    vocab: Path
    speakers: Path | None


def find_files(root: Path) -> XttsFiles:
    """The files of the engine below the models folder.

    Raises:
        MachineError: `model-missing` or `model-damaged`.
    """
    found: dict[str, Path | None] = {}
    for look in survey(PARTS, root):
        path = root / look.file.path
        if look.state == "damaged":
            raise MachineError("model-damaged", f"{path} is damaged: {look.why}.", _fetch_hint())
        if look.state == "missing" and look.part.role != "speakers":
            raise MachineError("model-missing", f"{path} is not there ({look.part.what}).", fetch_models("xtts"))
        found[look.part.role] = None if look.state == "missing" else path
    model, config, vocab = (found[role] for role in ("model", "config", "vocab"))
    assert model is not None
    assert config is not None
    assert vocab is not None
    return XttsFiles(model, config, vocab, found["speakers"])


def read_state(path: Path) -> dict[str, Tensor]:
    """The network's tensors by name, float32, mapped from the file where they are stored so.

    Raises:
        MachineError: `model-damaged` where it cannot be read, `model-foreign` where it holds anything unknown.
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
    """What speakers_xtts.pth holds.

    Raises:
        MachineError: as `read_state`.
    """
    return read_checkpoint(path, _CONFIG_CLASSES, _fetch_hint())


def foreign_file_error(path: Path, why: str) -> MachineError:
    """The error for a file of another kind."""
    return is_foreign(path, why, _fetch_hint())
