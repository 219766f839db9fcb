"""The engine: words → phonemes by our own front end → sound and durations → phones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.coqui.alphabet import to_espeak
from stages.tts.engines.coqui.vits import MAX_PHONEMES, VitsNetwork
from stages.tts.engines.durations import PAD, Utterance, phones_of
from stages.tts.engines.onnx import split_runs
from stages.tts.phonemes.reading import NO_WORD, EnglishFrontEnd


class CoquiVoice:
    """One voice of a VITS model, as every engine is: see `stages.tts.engines.base.LoadedVoice`.

    Args:
        model: the loaded network.
        speaker: number of its speaker, None where it has only one.
        british: which pronunciation.
    """

    method: Literal["exact"] = "exact"
    licence = "Apache-2.0"

    def __init__(self, model: VitsNetwork, speaker: int | None, british: bool) -> None:
        self._model = model
        self._speaker = speaker
        self._british = british
        self.sample_rate = model.sample_rate

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Say a piece; times are the network's own."""
        reading = EnglishFrontEnd(self._british).read(piece.words, piece.sounds)
        for number, run in enumerate(split_runs(list(zip(reading.chars, reading.owners, strict=True)), MAX_PHONEMES)):
            utterance = self._utter(run, piece.speed, _seed(*piece.seed, number))
            if utterance is not None:
                yield SpokenPart(utterance.samples, tuple(phones_of(utterance)))

    def fallback_voice(self) -> None:
        """Its network is in float32 already."""

    def _utter(self, run: list[tuple[str, int]], speed: float, seed: int) -> Utterance | None:
        """Sound of (our character, its word) pairs, with the duration of each; None where none of them is known."""
        chars = "".join(char for char, _ in run)
        spelled = [(char, owner) for char, owner in to_espeak(chars) if self._model.knows(char)]
        if not spelled:
            return None
        samples, hops = self._model.say([char for char, _ in spelled], self._speaker, speed, seed)
        units = [0] * len(chars)
        for (_, owner), count in zip(spelled, hops, strict=True):
            units[owner] += count
        return Utterance(
            samples=samples,
            chars=(PAD, *chars, PAD),
            owners=(NO_WORD, *(word for _, word in run), NO_WORD),
            units=(0, *units, 0),
            sample_rate=self.sample_rate,
            unit_samples=self._model.hop,
            late_s=0.0,
        )


def _seed(*place: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:8]) >> 1


@lru_cache(maxsize=1)
def _load_network(folder: Path) -> VitsNetwork:
    """The network, loaded once and kept for the jobs that follow."""
    return VitsNetwork(folder)


def load_coqui(folder: Path, name: str, british: bool) -> CoquiVoice:
    """The engine with a model's folder and, where it has several, one of its speakers by name.

    Raises:
        MachineError: what `VitsNetwork` raises.
    """
    model = _load_network(folder)
    return CoquiVoice(model, model.speakers.get(name), british)
