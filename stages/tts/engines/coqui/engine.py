"""Speaks with a VITS model: words → phonemes (our front end) → sound and durations → phones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.coqui.vits import MAX_PHONEMES, VitsNetwork
from stages.tts.engines.durations import Utterance, phones_of, spelled_utterance
from stages.tts.engines.onnx import split_runs
from stages.tts.phonemes.espeak_alphabet import to_espeak
from stages.tts.phonemes.reading import EnglishFrontEnd


class CoquiVoice:
    """A loaded voice of a VITS model; implements `stages.tts.engines.base.LoadedVoice`.

    Args:
        model: the loaded network.
        speaker: number of the speaker; None where the model has one.
        british: British instead of American pronunciation.
    """

    method: Literal["exact"] = "exact"
    licence = "Apache-2.0"

    def __init__(self, model: VitsNetwork, speaker: int | None, british: bool) -> None:
        self._model = model
        self._speaker = speaker
        self._british = british
        self.sample_rate = model.sample_rate

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece, with the network's own times."""
        reading = EnglishFrontEnd(self._british).read(piece.words, piece.sounds)
        for number, run in enumerate(split_runs(list(zip(reading.chars, reading.owners, strict=True)), MAX_PHONEMES)):
            utterance = self._utter(run, piece.speed, _seed(*piece.seed, number))
            if utterance is not None:
                yield SpokenPart(utterance.samples, tuple(phones_of(utterance)))

    def fallback_voice(self) -> None:
        """Return None: the network is in float32 already."""

    def _utter(self, run: list[tuple[str, int]], speed: float, seed: int) -> Utterance | None:
        """Synthesize (character, word) pairs, with the duration of each; None where the network knows none of them."""
        chars = "".join(char for char, _ in run)
        spelled = [(char, owner) for char, owner in to_espeak(chars) if self._model.knows(char)]
        if not spelled:
            return None
        samples, hops = self._model.say([char for char, _ in spelled], self._speaker, speed, seed)
        return spelled_utterance(run, spelled, hops, samples, self.sample_rate, self._model.hop)


def _seed(*place: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8]) >> 1


@lru_cache(maxsize=1)
def _load_network(folder: Path) -> VitsNetwork:
    """Load a model once and keep it for later jobs."""
    return VitsNetwork(folder)


def load_coqui(folder: Path, name: str, british: bool) -> CoquiVoice:
    """Load a voice by the folder of its model and, where that has several speakers, the speaker's name.

    Raises:
        MachineError: what `VitsNetwork` raises.
    """
    model = _load_network(folder)
    return CoquiVoice(model, model.speakers.get(name), british)
