"""The engine `kokoro`: Kokoro-82M, many voices from one network, each read for by the front end of its language."""

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
from daemon.system.installation import fetch_models
from stages.tts.engines.assets import hibari_file
from stages.tts.engines.base import Piece, SpokenPart, Voice
from stages.tts.engines.durations import PAD, SAMPLE_RATE, Utterance, phones_of
from stages.tts.engines.kokoro import model_files
from stages.tts.engines.onnx import open_session, split_runs
from stages.tts.phonemes import front_end, sound_replacements
from stages.tts.phonemes.reading import NO_WORD, Reading
from stages.tts.timing import Samples

#: Phonemes given to the network at once. It takes 510, but time and memory grow faster than the length.
MAX_PHONEMES = 300
#: A style for each number of phonemes, and its length.
STYLE_COUNT, STYLE_SIZE = 510, 256
MAX_THREADS = 4  # more does not make it faster

_DURATIONS = "/encoder/Clip_output_0"


class KokoroVoice:
    """One voice of the loaded network.

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
        """Say a piece; times are the network's own. Nothing in it is random: the same piece gives the same sound."""
        # A voice of no region in particular reads as the job's; one of a region has that one's accent.
        language = piece.language if piece.language.casefold().startswith(f"{self._language}-") else self._language
        reading = front_end(language).read(piece.words, piece.sounds)
        for utterance in self.utter(reading, piece.speed):
            phones = [replace(one, phone=self._heard.get(one.phone, one.phone)) for one in phones_of(utterance)]
            yield SpokenPart(utterance.samples, tuple(phones))

    def fallback_voice(self) -> KokoroVoice | None:
        """With one thread and the graph as it is written. There is no float32 network in the packages."""
        return None if self._is_plain else KokoroVoice(self._voice, self._models, plain=True)

    def utter(self, reading: Reading, speed: float) -> Iterator[Utterance]:
        """Sound for a reading: one utterance, or several where it is longer than the network takes."""
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
    """Sound [n] and the duration of each token [tokens], in units."""
    feed = {"tokens": tokens, "style": style, "speed": np.asarray([speed], np.float32)}
    sound, units = session.run(["audio", _DURATIONS], feed)
    return sound.ravel().astype(np.float32), units.ravel().astype(np.int64)


@lru_cache(maxsize=1)
def _network(path: Path) -> onnxruntime.InferenceSession:
    """The network, loaded once and kept for the jobs that follow in this process."""
    return _open_network(path, min(MAX_THREADS, os.cpu_count() or 1), plain=False)


@lru_cache(maxsize=1)
def _plain_network(path: Path) -> onnxruntime.InferenceSession:
    """The same for what came out wrong."""
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
    """float32 [510, 256]: how the voice sounds, for each number of phonemes less one."""
    try:
        styles = np.fromfile(path, "<f4")
    except FileNotFoundError as exc:
        raise _missing_file_error(path) from exc
    if styles.size != STYLE_COUNT * STYLE_SIZE or not np.isfinite(styles).all():
        raise _damaged_file_error(path, f"it should hold {STYLE_COUNT * STYLE_SIZE:,} numbers")
    return styles.reshape(STYLE_COUNT, STYLE_SIZE).astype(np.float32)


@lru_cache(maxsize=1)
def _phoneme_ids() -> dict[str, int]:
    ids: dict[str, int] = json.loads(hibari_file("vocab.json").read_text(encoding="utf-8"))
    return ids


def _missing_file_error(path: Path) -> MachineError:
    return MachineError("model-missing", f"{path} is not there.", fetch_models("kokoro"))


def _damaged_file_error(path: Path, why: str) -> MachineError:
    return MachineError(
        "model-damaged",
        f"{path} is not what it should be: {why}.",
        f"Remove it. {fetch_models('kokoro')}",
    )
