"""Speaks with XTTS: splits the text into portions, tries each several times if necessary, and warns of faults."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from daemon.config import Settings
from daemon.config.stage_settings import Xtts as XttsSettings
from daemon.errors import TRIED_AGAIN, MachineError, UnknownError
from stages.context import Facts
from stages.gpu.device import empty_cache
from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.xtts import checkpoint, checksum, quality_check, speaker_latents, text_chunks
from stages.tts.engines.xtts.network import SpeakerLatents, XttsNetwork
from stages.tts.engines.xtts.quality_check import Attempt
from stages.tts.engines.xtts.voices import LICENCE
from stages.tts.profile_store import Profile, ProfileStore
from stages.tts.text.spoken_length import expected_length
from stages.tts.timing import Samples

#: Silence between the portions of a piece that is too long for the network. s
_PORTION_PAUSE_S = 0.12
#: Longest quotation of a text in a warning, in characters.
_MAX_QUOTED_CHARS = 60
#: Stop generation at this multiple of the longest plausible duration.
_STOP_FACTOR = 1.25


class XttsVoice:
    """A loaded voice of XTTS; implements `stages.tts.engines.base.LoadedVoice`.

    Args:
        network: the loaded network.
        voice: the speaker.
        attempts: most attempts at a portion, at least 1.
    """

    method: Literal["aligned"] = "aligned"
    licence = LICENCE

    def __init__(self, network: XttsNetwork, voice: SpeakerLatents, attempts: int) -> None:
        self._network = network
        self._voice = voice
        self._attempts = attempts
        self.sample_rate = network.sample_rate

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece as one part; none where it contains nothing to say.

        Raises:
            JobError: `language-unsupported`.
            MachineError: `gpu-memory`, `gpu-lost`, `gpu-unusable`, `out-of-memory`, `install-broken` (a language
                lacks its package).
            UnknownError: `speech-broken`: every attempt was silent or invalid.
        """
        language = text_chunks.model_language(piece.language)
        text = text_chunks.network_text(piece.words)
        if not text:
            return
        parts: list[Samples] = []
        warnings: list[str] = []
        for number, portion in enumerate(
            text_chunks.split_to_fit(text, lambda part: self._network.fits(part, language))
        ):
            if not text_chunks.has_letters(portion):
                continue
            attempt, tries = self._best_attempt(portion, language, piece, number)
            if attempt.faults:
                warnings.append(_warning(portion, attempt, tries))
            parts += [np.zeros(round(_PORTION_PAUSE_S * self.sample_rate), np.float32)] if parts else []
            parts.append(attempt.samples)
        yield SpokenPart(np.concatenate(parts), None, tuple(warnings))

    def fallback_voice(self) -> None:
        """Return None: the network is in float32 already, and each attempt has its own seed."""

    def _best_attempt(self, text: str, language: str, piece: Piece, number: int) -> tuple[Attempt, int]:
        """Return the first attempt without faults, or else the best audible one, and the number of attempts."""
        expected = expected_length(self._network.spelled(text, language), language, piece.speed)
        attempts: list[Attempt] = []
        for number_of_try in range(self._attempts):
            seed = _seed(*piece.seed, number, number_of_try)
            most_s = _STOP_FACTOR * expected.most
            samples, at_limit = self._network.say(text, language, self._voice, piece.speed, seed, most_s)
            attempts.append(quality_check.judge_attempt(samples, self.sample_rate, expected, at_limit=at_limit))
            if not attempts[-1].faults:
                break
        best = min(attempts, key=lambda attempt: (not len(attempt.samples), len(attempt.faults), attempt.length_error))
        if not len(best.samples):
            raise UnknownError(
                "speech-broken", f"The voice produced no sound for “{text[:_MAX_QUOTED_CHARS]}”.", TRIED_AGAIN
            )
        return best, len(attempts)


def _seed(*place: int) -> int:
    """Hash the place in the text to 63 bits."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8]) >> 1


def _warning(text: str, attempt: Attempt, tries: int) -> str:
    quoted = text if len(text) <= _MAX_QUOTED_CHARS else f"{text[:_MAX_QUOTED_CHARS].rstrip()}…"
    many = "once" if tries == 1 else f"{tries} times"
    return f"Listen to “{quoted}”: it was synthesized {many} and may be wrong ({'; '.join(attempt.faults)})."


def check_licence(settings: Settings) -> None:
    """Check that config.yaml accepts XTTS's licence, which forbids commercial use.

    Raises:
        MachineError: `licence-not-accepted`.
    """
    if not settings.stages.tts.xtts.accept_licence:
        raise MachineError(
            "licence-not-accepted",
            "XTTS's weights and their speech are under the Coqui Public Model License, for non-commercial use only, and "
            "no other licence is sold.",
            "If you agree, write `accept_licence: true` under `stages.tts.xtts` in config.yaml.",
        )


@lru_cache(maxsize=1)
def _load_network(found: checkpoint.XttsFiles, sha256: str, options: str) -> XttsNetwork:
    """Load the network once and keep it for later jobs; `sha256` makes the cache depend on the file's content.

    `options` are the engine's settings as JSON, because settings can change and so cannot be a key of a cache.
    """
    del sha256
    return XttsNetwork(found, XttsSettings.model_validate_json(options))


def load_network(settings: Settings) -> tuple[XttsNetwork, str]:
    """Load the network; return it and the hash of its file, which is checked before the file is read.

    Raises:
        MachineError: `licence-not-accepted`, `model-missing`, `model-damaged`, `model-altered`, `model-foreign`,
            `engine-not-installed`, `engine-version`, `gpu-memory`, `gpu-lost`, `gpu-unusable`, `out-of-memory`.
    """
    check_licence(settings)
    options = settings.stages.tts.xtts
    found = checkpoint.find_files(settings.paths.models)
    sha256 = checksum.checked_sha256(found.model, options.model_sha256, settings.paths.cache)
    return _load_network(found, sha256, options.model_dump_json()), sha256


def unload_network() -> Facts:
    """Free the network's memory on a GPU. Returns the memory that PyTorch holds there afterwards, MB; empty if there was none.

    Raises:
        MachineError: `gpu-lost`.
    """
    if not torch.cuda.is_available() or not _load_network.cache_info().currsize:
        return {}
    _load_network.cache_clear()
    gc.collect()
    empty_cache()
    return {"model": "xtts", "vram_mb": torch.cuda.memory_reserved() >> 20}


def load_xtts(voice: Profile | str, settings: Settings) -> XttsVoice:
    """Load a voice: a profile, or one of the model's own voices by name.

    Raises:
        JobError: `profile-expired`, `consent-missing`, `profile-unknown`, `voice-unknown`.
        MachineError: what `load_network` raises.
    """
    if isinstance(voice, Profile):
        ProfileStore(settings.paths.profiles).check_usable(voice, require_consent=settings.stages.tts.require_consent)
        network, sha256 = load_network(settings)
        known = speaker_latents.latents_of_profile(voice, network, sha256)
    else:
        network, _ = load_network(settings)
        known = speaker_latents.latents_of_model_voice(voice, settings)
    return XttsVoice(network, known, settings.stages.tts.xtts.attempts)
