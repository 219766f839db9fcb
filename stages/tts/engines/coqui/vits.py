"""Runs coqui-tts's VITS network, which turns phonemes into sound and reports the duration of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daemon.errors import MachineError
from stages.model_files.checkpoint import read_checkpoint
from stages.tts.engines.coqui_library import import_coqui
from stages.tts.engines.durations import share_blanks
from stages.tts.timing import Samples

#: Most phonemes given to the network at once; it was trained on sentences of about this length.
MAX_PHONEMES = 300
_HINT = "Download it again; `avatar models list` shows where it is published."


class VitsNetwork:
    """A VITS model in memory.

    Args:
        folder: contains model_file.pth, config.json and, where it has several speakers, speaker_ids.json.

    Raises:
        MachineError: `engine-not-installed`, `engine-version`, `model-missing`, `model-damaged`, `model-foreign`.
    """

    def __init__(self, folder: Path) -> None:
        network, config = _build(folder)
        #: Speaker name → number. Published names end in stray line breaks.
        self.speakers: dict[str, int] = {
            str(name).strip(): int(number)
            for name, number in getattr(network.speaker_manager, "name_to_id", {}).items()
        }
        self._network = network
        self.sample_rate = int(config.audio.sample_rate)
        self.hop = int(config.audio.hop_length)
        self._pace = float(network.length_scale)
        characters = network.tokenizer.characters
        self._ids: dict[str, int] = dict(characters._char_to_id)
        self._blank = int(characters.blank_id if characters.blank else characters.pad_id)
        self._blanks = bool(config.add_blank)

    def knows(self, char: str) -> bool:
        """Return whether the network was trained with this character."""
        return char in self._ids

    def say(self, chars: Sequence[str], speaker: int | None, speed: float, seed: int) -> tuple[Samples, list[int]]:
        """Synthesize characters.

        Returns the sound (float32 [n] at `sample_rate`) and the duration of each character in units of `hop` samples, which
        add up to the length of the sound. The duration of a blank is divided between its neighbours.
        """
        ids = [self._ids[char] for char in chars]
        if self._blanks:
            ids = [part for number in ids for part in (self._blank, number)] + [self._blank]
        self._network.length_scale = self._pace / speed
        torch.manual_seed(seed)
        given = {
            "x_lengths": torch.tensor([len(ids)]),
            "speaker_ids": None if speaker is None else torch.tensor([speaker]),
            "d_vectors": None,
            "language_ids": None,
        }
        with torch.inference_mode():
            made = self._network.inference(torch.tensor([ids]), aux_input=given)
        units = [round(value) for value in made["durations"].flatten().tolist()]
        samples = made["model_outputs"].flatten().numpy()[: sum(units) * self.hop]
        return np.ascontiguousarray(samples, np.float32), share_blanks(units) if self._blanks else units


def _build(folder: Path) -> tuple[Any, Any]:
    weights, settings, speakers = (folder / name for name in ("model_file.pth", "config.json", "speaker_ids.json"))
    for path in (weights, settings):
        if not path.is_file():
            raise MachineError("model-missing", f"{path} does not exist.", _HINT)
    try:
        config = import_coqui("TTS.tts.configs.vits_config").VitsConfig()
        config.load_json(str(settings))
        if json.loads(settings.read_bytes()).get("model") != "vits":
            raise ValueError("it does not describe a VITS model")
    except MachineError:
        raise
    except Exception as exc:  # the library's parser raises many types
        raise MachineError("model-foreign", f"{settings} cannot be used: {exc}.", _HINT) from exc
    config.use_phonemes, config.phonemizer = False, None  # otherwise it requires the program espeak-ng
    config.model_args.init_discriminator = False
    if speakers.is_file():  # replaces the path at training time, which the file contains
        config.model_args.speakers_file = str(speakers)
    content = read_checkpoint(weights, (), _HINT)
    try:
        state = {
            name: value
            for name, value in content["model"].items()
            if name.partition(".")[0] not in ("disc", "speaker_encoder")
        }
        network = import_coqui("TTS.tts.models.vits").Vits(config)
        network.load_state_dict(state, strict=True)
    except MachineError:
        raise
    except Exception as exc:  # as above
        why = (str(exc).splitlines() or [type(exc).__name__])[-1].strip()[:200].rstrip(".")
        raise MachineError("model-foreign", f"{weights} does not fit {settings}: {why}.", _HINT) from exc
    return network.eval().requires_grad_(False), config
