"""The engine: portions of text, several tries at each where one is needed, and an honest word about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np

from daemon.config import Settings
from daemon.config.settings import Xtts as XttsSettings
from daemon.errors import MachineError, UnknownError
from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.xtts import checkpoint, checksum, quality_check, speaker_latents, text_chunks
from stages.tts.engines.xtts.network import SpeakerLatents, XttsNetwork
from stages.tts.engines.xtts.quality_check import Attempt
from stages.tts.engines.xtts.voices import LICENCE
from stages.tts.profile_store import Profile, check_usable
from stages.tts.text.spoken_length import expected_length
from stages.tts.timing import Samples

#: Silence between the portions of a piece that was too long for the network. s
_PORTION_PAUSE_S = 0.12
#: Characters of a sentence that are quoted in a warning.
_MAX_QUOTED_CHARS = 60
#: Babble is let go on to this many times of what is much for the text, so that it is known to be more; then it only costs time.
_STOP_FACTOR = 1.25


class XttsVoice:
    """A voice of XTTS, as every engine is: see `stages.tts.engines.base.LoadedVoice`."""

    method: Literal["aligned"] = "aligned"
    licence = LICENCE

    def __init__(self, network: XttsNetwork, voice: SpeakerLatents, attempts: int) -> None:
        self._network = network
        self._voice = voice
        self._attempts = attempts
        self.sample_rate = network.sample_rate

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Say a piece, whole; nothing where it has nothing to be said.

        Raises:
            JobError: `language-unsupported`.
            MachineError: `gpu-memory`, `gpu-lost`, `out-of-memory`, `install-broken` (a language's package is missing).
            UnknownError: `speech-broken` where nothing was heard in any try.
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
        """Its network is in float32 already, and each try has a seed of its own."""

    def _best_attempt(self, text: str, language: str, piece: Piece, number: int) -> tuple[Attempt, int]:
        """The first try that nothing is wrong with, or else the best that can be heard; and how many there were."""
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
                "speech-broken", f"The voice made no sound of “{text[:_MAX_QUOTED_CHARS]}”.", "See the log."
            )
        return best, len(attempts)


def _seed(*place: int) -> int:
    """63 bits that depend on every part of the place."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8]) >> 1


def _warning(text: str, attempt: Attempt, tries: int) -> str:
    quoted = text if len(text) <= _MAX_QUOTED_CHARS else f"{text[:_MAX_QUOTED_CHARS].rstrip()}…"
    many = "once" if tries == 1 else f"{tries} times"
    return f"Listen to “{quoted}”: it was said {many} and may not be right ({'; '.join(attempt.faults)})."


def check_licence(settings: Settings) -> None:
    """XTTS's weights and what they say may not be used commercially; that is to be acknowledged once.

    Raises:
        MachineError: `licence-not-accepted`.
    """
    if not settings.stages.tts.xtts.accept_licence:
        raise MachineError(
            "licence-not-accepted",
            "XTTS's weights and all they say are under the Coqui Public Model License, for non-commercial use only, and "
            "nobody sells another licence.",
            "If that suits you, write `accept_licence: true` under `stages.tts.xtts` in config.yaml.",
        )


@lru_cache(maxsize=1)
def _load_network(found: checkpoint.XttsFiles, sha256: str, settings: XttsSettings) -> XttsNetwork:
    """The network, loaded once and kept for the jobs that follow; the hash stands for the file's content."""
    del sha256
    return XttsNetwork(found, settings)


def load_network(settings: Settings) -> tuple[XttsNetwork, str]:
    """The network and the hash of its file, checked before it is read.

    Raises:
        MachineError: `licence-not-accepted`, `model-missing`, `model-damaged`, `model-altered`, `model-foreign`,
            `engine-not-installed`, `engine-version`.
    """
    check_licence(settings)
    options = settings.stages.tts.xtts
    found = checkpoint.find_files(settings.paths.models)
    sha256 = checksum.checked_sha256(found.model, options.model_sha256, settings.paths.cache)
    return _load_network(found, sha256, options), sha256


def load_xtts(voice: Profile | str, settings: Settings) -> XttsVoice:
    """The engine, speaking with a profile, or with a voice that comes with the model (by its name).

    Raises:
        JobError: `profile-expired`, `consent-missing`, `profile-unknown`, `voice-unknown`.
        MachineError: what `load_network` raises.
    """
    if isinstance(voice, Profile):
        check_usable(voice, require_consent=settings.stages.tts.require_consent)
        network, sha256 = load_network(settings)
        known = speaker_latents.latents_of_profile(voice, network, sha256)
    else:
        network, _ = load_network(settings)
        known = speaker_latents.latents_of_model_voice(voice, settings)
    return XttsVoice(network, known, settings.stages.tts.xtts.attempts)
