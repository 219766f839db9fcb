"""The recogniser `whisper`: any Whisper network in CTranslate2's layout, from a local folder, run by faster-whisper (MIT).

The folder holds `config.json`, `model.bin`, `tokenizer.json` and the vocabulary, as `ct2-transformers-converter` writes them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import Missing
from stages.media.wav import Samples
from stages.transcribe.base import Heard, HeardWord, LoadedRecogniser, Recogniser

_PINS = {"faster-whisper": "1.2.1"}
#: Files that the loader needs; without the tokenizer's it would look for one on the network.
_FILES = ("config.json", "model.bin", "tokenizer.json")
#: Fewest tokens of a network of all languages, as CTranslate2 tells them apart; one of English alone has fewer.
_MULTILINGUAL_TOKENS = 51_865
#: Whisper writes sentences that nobody said over noise and music. Its own measures of that, in its authors' thresholds.
_MAX_NO_SPEECH, _MIN_LOG_PROBABILITY, _MAX_COMPRESSION = 0.6, -1.0, 2.4

#: A chunk that is not sure is tried again at the next temperature; more of them only cost time over noise.
_TEMPERATURES = (0.0, 0.4, 0.8)


class _Whisper:
    def __init__(self, model: Any) -> None:
        self._model = model

    def hear(self, samples: Samples, language: str) -> Heard:
        segments, info = self._model.transcribe(
            samples,
            language=language if language in self._model.supported_languages else None,
            word_timestamps=True,
            temperature=_TEMPERATURES,
            condition_on_previous_text=False,  # a mistake would be carried on
            no_speech_threshold=_MAX_NO_SPEECH,
            log_prob_threshold=_MIN_LOG_PROBABILITY,
            compression_ratio_threshold=_MAX_COMPRESSION,
        )
        kept = [
            segment
            for segment in segments
            if segment.avg_logprob >= _MIN_LOG_PROBABILITY and segment.compression_ratio <= _MAX_COMPRESSION
        ]
        words = tuple(
            HeardWord(word.word, float(word.start), float(word.end)) for segment in kept for word in segment.words or ()
        )
        return Heard("".join(segment.text for segment in kept).strip(), info.language, words)


def _missing(settings: Settings) -> Missing | None:
    folder = settings.stages.tts.whisper_model
    if folder is None:
        return Missing("no folder of a Whisper network is set", "Set `stages.tts.whisper_model`.")
    for name in _FILES:
        if not (folder / name).is_file():
            return Missing(
                f"{folder / name} is missing",
                "`stages.tts.whisper_model` must name a Whisper network in CTranslate2's layout (docs/voices.md).",
            )
    return None


def _languages(settings: Settings) -> frozenset[str] | None:
    """Return {"en"} for a network of English only, whose vocabulary is smaller; None for all languages."""
    folder = settings.stages.tts.whisper_model
    if folder is None:
        return None
    try:
        if (listed := folder / "vocabulary.json").is_file():
            size = len(json.loads(listed.read_bytes()))
        else:
            size = (folder / "vocabulary.txt").read_bytes().count(b"\n")
    except (OSError, ValueError, TypeError):  # loading it says what is wrong
        return None
    return None if size >= _MULTILINGUAL_TOKENS else frozenset({"en"})


@contextlib.contextmanager
def _load(settings: Settings) -> Iterator[LoadedRecogniser]:
    from faster_whisper import WhisperModel

    folder = settings.stages.tts.whisper_model
    try:
        model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)
    except (RuntimeError, ValueError, OSError) as exc:
        raise MachineError(
            "recogniser-unusable",
            f"The Whisper network in {folder} cannot be loaded: {exc}",
            "Convert it again with ct2-transformers-converter, or clear `stages.tts.whisper_model`.",
        ) from exc
    yield _Whisper(model)


RECOGNISER = Recogniser("whisper", "whisper", ("faster_whisper",), _missing, _languages, _load, _PINS)
