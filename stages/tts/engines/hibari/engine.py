"""Speaks with hibari's network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
from hibari import dsp

from daemon.errors import MachineError
from stages.tts.engines.assets import hibari_file
from stages.tts.engines.base import Piece, SpokenPart, Voice
from stages.tts.engines.durations import PAD, SAMPLE_RATE, Utterance, phones_of
from stages.tts.engines.onnx import open_session, split_runs
from stages.tts.phonemes.reading import NO_WORD, EnglishFrontEnd, Reading

#: Most phonemes given to the network at once; it was trained on sentences of about this length.
MAX_PHONEMES = 400

_DURATIONS = "/Clip_output_0"


class HibariVoice:
    """A loaded voice of hibari. Uses one thread, which is fast enough and makes the result reproducible.

    Args:
        voice: a voice of this engine.
        plain: run the network without graph optimisation.

    Raises:
        MachineError: `model-broken`: the file cannot be loaded.
    """

    sample_rate = SAMPLE_RATE
    method: Literal["exact"] = "exact"
    licence = "Apache-2.0"

    def __init__(self, voice: Voice, *, plain: bool = False) -> None:
        self._voice, self._is_plain = voice, plain
        self._british = voice.british
        try:
            self._session = open_session(voice.model.read_bytes(), _DURATIONS, threads=1, pooled=False, plain=plain)
            self._ids: dict[str, int] = json.loads(hibari_file("vocab.json").read_text(encoding="utf-8"))
        except Exception as exc:  # see `open_session`
            raise MachineError(
                "model-broken",
                f"The model of voice '{voice.name}' cannot be loaded: {exc}",
                "Install hibari-tts again in the pinned version.",
            ) from exc
        self._outputs = [output.name for output in self._session.get_outputs()]

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece, with the network's own times."""
        reading = EnglishFrontEnd(self._british).read(piece.words, piece.sounds)
        for utterance in self.utter(reading, piece.speed, piece.seed):
            yield SpokenPart(utterance.samples, tuple(phones_of(utterance)))

    def fallback_voice(self) -> HibariVoice | None:
        """Return the voice without graph optimisation; None if it is that already."""
        return None if self._is_plain else HibariVoice(self._voice, plain=True)

    def utter(self, reading: Reading, speed: float, seed: tuple[int, ...]) -> Iterator[Utterance]:
        """Synthesize a reading, in several utterances where it is longer than `MAX_PHONEMES`.

        Args:
            speed: 1 is the voice's own pace; 2 twice as fast.
            seed: the same seed gives the same noise in the consonants, bit by bit.
        """
        known = [(char, owner) for char, owner in zip(reading.chars, reading.owners, strict=True) if char in self._ids]
        noise = np.random.default_rng(seed)
        for run in split_runs(known, MAX_PHONEMES):
            yield self._utter(run, speed, noise)

    def _utter(self, run: list[tuple[str, int]], speed: float, noise: np.random.Generator) -> Utterance:
        ids = [0, *(self._ids[char] for char, _ in run), 0]
        feed = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        outputs = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        units = outputs.pop(_DURATIONS).ravel().astype(int)
        samples = dsp.synth(*(part[0] for part in outputs.values()), noise)
        return Utterance(
            samples=samples,
            chars=(PAD, *(char for char, _ in run), PAD),
            owners=(NO_WORD, *(owner for _, owner in run), NO_WORD),
            units=tuple(units.tolist()),
        )


@lru_cache(maxsize=1)
def load_hibari(voice: Voice) -> HibariVoice:
    """Load a voice once and keep it for later jobs in this process."""
    return HibariVoice(voice)
