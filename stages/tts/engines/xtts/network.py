"""Runs coqui-tts's XTTS network: encodes a speaker, and synthesizes one portion of text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daemon.config.stage_settings import Xtts as XttsSettings
from daemon.errors import MachineError
from daemon.system.memory import release_free_memory
from stages.gpu.device import current_device
from stages.gpu.errors import device_errors
from stages.tts.engines.coqui_library import import_coqui
from stages.tts.engines.xtts.checkpoint import XttsFiles, foreign_file_error, read_state
from stages.tts.timing import Samples

#: Rate of the reference, Hz (the model's `input_sample_rate`).
REFERENCE_RATE = 22_050
#: Length of the reference that is used, and of the parts it is encoded in, s (the model's config.json).
_REFERENCE_S, _REFERENCE_CHUNK_S = 30, 4
#: Text tokens reserved for those that the network adds at both ends.
_TOKEN_ROOM = 4
#: Audio codes per second of speech (`gpt_code_stride_len` 1024 at the reference's rate).
_CODES_PER_S = REFERENCE_RATE / 1024


@dataclass(frozen=True)
class SpeakerLatents:
    """The network's encoding of a speaker: `gpt` [1, 32, channels] and `speaker` [1, 512, 1], float32."""

    gpt: Tensor
    speaker: Tensor


class XttsNetwork:
    """The XTTS model in memory. Not thread-safe: it stores the sentence in progress.

    Raises:
        MachineError: `engine-not-installed`, `engine-version`, `model-damaged`, `model-foreign`, `gpu-memory`, `gpu-lost`,
            `gpu-unusable`, `out-of-memory`.
    """

    def __init__(self, files: XttsFiles, settings: XttsSettings) -> None:
        self._settings = settings
        model = import_coqui("TTS.tts.models.xtts")
        tokens = import_coqui("TTS.tts.layers.xtts.tokenizer")
        config = _read_config(files.config)
        try:
            network = model.Xtts(config)
            network.tokenizer = tokens.VoiceBpeTokenizer(vocab_file=str(files.vocab))
            network.init_models()
            # assign=True keeps the memory-mapped tensors, so that 2 GB are not held twice.
            network.load_state_dict(read_state(files.model), strict=True, assign=True)
        except MachineError:
            raise
        except Exception as exc:  # the tokenizer raises an error class of its own
            raise foreign_file_error(
                files.model, f"its tensors are not those of this network: {_second_line(exc)}"
            ) from exc
        network.gpt.init_gpt_for_inference(kv_cache=True)
        torch.nn.Module.eval(network)  # the class's own eval() would prepare the network a second time
        self.device = current_device()
        with _device_errors(self.device):
            self.model: Any = network.requires_grad_(False).to(self.device)
        self.sample_rate = int(config.model_args.output_sample_rate)
        self._most_tokens = int(config.model_args.gpt_max_text_tokens) - _TOKEN_ROOM
        release_free_memory()

    def condition(self, reference: Samples) -> SpeakerLatents:
        """Encode the speaker of a reference: float32 [n] at `REFERENCE_RATE`, at least a third of a second.

        Raises:
            MachineError: `gpu-memory`, `gpu-lost`, `gpu-unusable`, `out-of-memory`.
        """
        sound = torch.from_numpy(np.ascontiguousarray(reference, np.float32))[None]
        with _device_errors(self.device):
            gpt = self.model.get_gpt_cond_latents(
                sound, REFERENCE_RATE, length=_REFERENCE_S, chunk_length=_REFERENCE_CHUNK_S
            )
            speaker = self.model.get_speaker_embedding(sound[:, : REFERENCE_RATE * _REFERENCE_S], REFERENCE_RATE)
            return SpeakerLatents(gpt.float().cpu(), speaker.float().cpu())

    def spelled(self, text: str, language: str) -> str:
        """Return the text as the network reads it: numbers in words, some scripts in Latin letters."""
        return str(self.model.tokenizer.preprocess_text(text, language.partition("-")[0]))

    def fits(self, text: str, language: str) -> bool:
        """Return whether a text is within the model's limits of characters and of tokens."""
        tokenizer = self.model.tokenizer
        if len(text) >= tokenizer.char_limits[language.partition("-")[0]]:
            return False
        return len(tokenizer.encode(text.strip().lower(), lang=language)) <= self._most_tokens

    def say(
        self, text: str, language: str, voice: SpeakerLatents, speed: float, seed: int, most_s: float
    ) -> tuple[Samples, bool]:
        """Synthesize one portion of text.

        Returns the sound (float32 [n] at `sample_rate`), and True if generation was stopped: at the model's limit, or at
        `most_s` seconds. The same seed gives the same sound up to there.

        Raises:
            MachineError: `gpu-memory`, `gpu-lost`, `gpu-unusable`, `out-of-memory`.
        """
        settings = self._settings
        limit = min(int(self.model.gpt.max_gen_mel_tokens), math.ceil(most_s * speed * _CODES_PER_S))
        torch.manual_seed(seed)
        with _device_errors(self.device), _code_limit(self.model.gpt, limit):
            said = self.model.inference(
                text,
                language,
                voice.gpt,
                voice.speaker,
                temperature=settings.temperature,
                length_penalty=settings.length_penalty,
                repetition_penalty=settings.repetition_penalty,
                top_k=settings.top_k,
                top_p=settings.top_p,
                do_sample=True,
                num_beams=1,
                speed=speed,
                enable_text_splitting=False,
            )
        # One latent per audio code, stretched by the speed.
        return np.atleast_1d(said["wav"]), said["gpt_latents"].shape[1] >= int(limit / speed)


def _read_config(path: Path) -> Any:
    """Read the configuration file, of which only the network's shape is used."""
    config = import_coqui("TTS.tts.configs.xtts_config")
    try:
        raw = json.loads(path.read_bytes())
        if raw.get("model") != "xtts":
            raise foreign_file_error(path, f"it describes the model {raw.get('model')!r}, not 'xtts'")
        made = config.XttsConfig()
        made.load_json(str(path))
    except MachineError:
        raise
    except Exception as exc:  # its parser raises many types
        raise foreign_file_error(path, f"it cannot be read as XTTS's configuration: {exc}") from exc
    return made


@contextmanager
def _code_limit(gpt: Any, codes: int) -> Iterator[None]:
    """Limit the number of audio codes; the library takes the limit from this attribute only."""
    before, gpt.max_gen_mel_tokens = gpt.max_gen_mel_tokens, codes
    try:
        yield
    finally:
        gpt.max_gen_mel_tokens = before


def _device_errors(device: torch.device) -> AbstractContextManager[None]:
    """Convert errors of the device to errors of this program: see `stages.gpu.errors.device_errors`."""
    if device.type == "cuda":
        return device_errors(
            "There is not enough GPU memory for XTTS (about 4 GB).",
            "Stop other programs that use the GPU.",
            without_gpu="a voice of another engine needs no GPU: see `avatar voices`",
        )
    return device_errors("There is not enough memory for XTTS.", "Free some memory.", on_gpu=False)


def _second_line(exc: BaseException) -> str:
    lines = str(exc).splitlines() or [type(exc).__name__]
    return lines[min(1, len(lines) - 1)].strip()[:200].rstrip(".")
