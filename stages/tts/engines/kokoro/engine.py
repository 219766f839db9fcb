"""Speaks with Kokoro-82M, given phonemes from the front end of the voice's language."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.errors import MachineError
from daemon.system.installation import how_to_fetch_models
from stages.tts.engines.assets import hibari_file
from stages.tts.engines.base import Piece, SpokenPart, Voice
from stages.tts.engines.durations import PAD, SAMPLE_RATE, Utterance, phones_of
from stages.tts.engines.kokoro import model_files
from stages.tts.engines.onnx import open_session, split_runs
from stages.tts.phonemes import front_end, sound_replacements
from stages.tts.phonemes.reading import NO_WORD, Reading
from stages.tts.timing import Samples

#: Most phonemes given to the network at once. It accepts 510, but time and memory grow faster than the length.
MAX_PHONEMES = 300
#: Shape of a voice file: a style vector for each number of phonemes.
STYLE_COUNT, STYLE_SIZE = 510, 256
MAX_THREADS = 4  # more are not faster

_DURATIONS = "/encoder/Clip_output_0"


class KokoroVoice:
    """A loaded voice of Kokoro.

    Args:
        voice: a voice of this engine.
        models: the models folder.
        plain: run the network with one thread and without graph optimisation.

    Raises:
        MachineError: `model-missing`, `model-broken`.
    """

    sample_rate = SAMPLE_RATE
    method: Literal["exact"] = "exact"
    licence = model_files.LICENCE

    def __init__(self, voice: Voice, models: Path, *, plain: bool = False) -> None:
        self._voice, self._models, self._is_plain = voice, models, plain
        self._language, self._heard = voice.languages[0], sound_replacements(voice.languages[0])
        self._styles = _read_styles(voice.model)
        self._session = (_plain_network if plain else _network)(models / model_files.NETWORK)
        self._ids = _phoneme_ids()

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece, with the network's own times. Deterministic: the same piece gives the same sound."""
        # A voice without a region takes the region of the job's language; one with a region keeps its accent.
        language = piece.language if piece.language.casefold().startswith(f"{self._language}-") else self._language
        reading = front_end(language).read(piece.words, piece.sounds)
        for utterance in self.utter(reading, piece.speed):
            phones = [replace(one, phone=self._heard.get(one.phone, one.phone)) for one in phones_of(utterance)]
            yield SpokenPart(utterance.samples, tuple(phones))

    def fallback_voice(self) -> KokoroVoice | None:
        """Return the voice with one thread and without graph optimisation; None if it is that already.

        The packages contain no float32 network.
        """
        return None if self._is_plain else KokoroVoice(self._voice, self._models, plain=True)

    def utter(self, reading: Reading, speed: float) -> Iterator[Utterance]:
        """Synthesize a reading, in several utterances where it is longer than `MAX_PHONEMES`."""
        known = [(char, owner) for char, owner in zip(reading.chars, reading.owners, strict=True) if char in self._ids]
        for run in split_runs(known, MAX_PHONEMES):
            tokens = np.asarray([[0, *(self._ids[char] for char, _ in run), 0]], np.int64)
            style = self._styles[len(run) - 1][None]
            sound, units = _run_network(self._session, tokens, style, speed)
            yield Utterance(
                samples=sound,
                chars=(PAD, *(char for char, _ in run), PAD),
                owners=(NO_WORD, *(owner for _, owner in run), NO_WORD),
                units=tuple(units.tolist()),
            )


def _run_network(
    session: onnxruntime.InferenceSession, tokens: npt.NDArray[np.int64], style: Samples, speed: float
) -> tuple[Samples, npt.NDArray[np.int64]]:
    """Return sound, float32 [n], and the duration of each token in units, int64 [tokens]."""
    feed = {"tokens": tokens, "style": style, "speed": np.asarray([speed], np.float32)}
    sound, units = session.run(["audio", _DURATIONS], feed)
    return sound.ravel().astype(np.float32), units.ravel().astype(np.int64)


@lru_cache(maxsize=1)
def _network(path: Path) -> onnxruntime.InferenceSession:
    """Load the network once and keep it for later jobs in this process."""
    return _open_network(path, min(MAX_THREADS, len(os.sched_getaffinity(0))), plain=False)


@lru_cache(maxsize=1)
def _plain_network(path: Path) -> onnxruntime.InferenceSession:
    """Load the network without graph optimisation once and keep it."""
    return _open_network(path, 1, plain=True)


def _open_network(path: Path, threads: int, *, plain: bool) -> onnxruntime.InferenceSession:
    try:
        model = path.read_bytes()
    except FileNotFoundError as exc:
        raise _missing_file_error(path) from exc
    try:
        return open_session(model, _DURATIONS, threads, pooled=True, plain=plain)
    except Exception as exc:  # see `open_session`
        raise _damaged_file_error(path, str(exc)) from exc


def _read_styles(path: Path) -> Samples:
    """Read a voice file, float32 [510, 256]: the style vector for a number of phonemes, less one."""
    try:
        styles = np.fromfile(path, "<f4")
    except FileNotFoundError as exc:
        raise _missing_file_error(path) from exc
    if styles.size != STYLE_COUNT * STYLE_SIZE or not np.isfinite(styles).all():
        raise _damaged_file_error(path, f"it should contain {STYLE_COUNT * STYLE_SIZE:,} finite numbers")
    return styles.reshape(STYLE_COUNT, STYLE_SIZE).astype(np.float32)


@lru_cache(maxsize=1)
def _phoneme_ids() -> dict[str, int]:
    ids: dict[str, int] = json.loads(hibari_file("vocab.json").read_text(encoding="utf-8"))
    return ids


def _missing_file_error(path: Path) -> MachineError:
    return MachineError("model-missing", f"{path} does not exist.", how_to_fetch_models("kokoro"))


def _damaged_file_error(path: Path, why: str) -> MachineError:
    return MachineError(
        "model-damaged",
        f"{path} is damaged: {why}.",
        f"Delete it. {how_to_fetch_models('kokoro')}",
    )
