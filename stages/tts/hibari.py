"""The hibari voice, asked not only for sound but for how long it made every phoneme.

The network rounds a duration for each phoneme and does not hand it out. Serialised protobuf messages merge when they
are concatenated, so a few bytes that declare one more graph output, appended to the model file's bytes, are enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnxruntime
from hibari import dsp

from daemon.errors import MachineError
from stages.tts.reading import NO_WORD, Reading
from stages.tts.voices import Voice, lexicon_file

SAMPLE_RATE = 24_000  # Hz
UNIT_SAMPLES = 600  # samples of sound for each unit of a duration
UNIT_S = UNIT_SAMPLES / SAMPLE_RATE  # 0.025 s
#: Phonemes given to the network at once; it was trained on sentences of about this length.
MAX_PHONEMES = 400
#: The symbol the network wants at both ends; it is silent.
PAD = ""

_DURATIONS = b"/Clip_output_0"
_CLAUSE_MARKS = ";:,.!?—…"

Samples = npt.NDArray[np.float32]


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field; payloads here are shorter than 128 bytes, so the length is one byte."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def _with_durations(model: bytes) -> bytes:
    # ModelProto.graph = 7, GraphProto.output = 12, ValueInfoProto.name = 1 (onnx.proto3)
    return model + _field(7, _field(12, _field(1, _DURATIONS)))


@dataclass(frozen=True)
class Utterance:
    """What the network made of one reading.

    Attributes:
        samples: float32 at `SAMPLE_RATE`, nominally within ±1.
        chars: the phoneme characters it read, with `PAD` at both ends.
        owners: word of each character, or `NO_WORD`.
        units: duration of each character; `sum(units) * UNIT_SAMPLES == len(samples)`.
    """

    samples: Samples
    chars: tuple[str, ...]
    owners: tuple[int, ...]
    units: tuple[int, ...]


class Hibari:
    """A loaded voice. One thread: the network is a hundred times faster than speech, and the result stays the same.

    Raises:
        MachineError: `model-broken` if the file is not what it should be.
    """

    def __init__(self, voice: Voice) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Every sentence has another length: pools kept for each would only grow.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        try:
            model = _with_durations(voice.model.read_bytes())
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._ids: dict[str, int] = json.loads(lexicon_file("vocab.json").read_text(encoding="utf-8"))
        except Exception as exc:  # onnxruntime has an exception class for each status, without a common root
            raise MachineError(
                "model-broken",
                f"The model of voice '{voice.name}' cannot be loaded: {exc}",
                "Install hibari-tts again in the pinned version.",
            ) from exc
        self._outputs = [output.name for output in self._session.get_outputs()]

    def say(self, reading: Reading, speed: float, seed: tuple[int, ...]) -> Iterator[Utterance]:
        """Sound for a reading: one utterance, or several where it is longer than the network takes.

        Args:
            speed: 1 is the voice's own pace; 2 twice as fast.
            seed: the same seed gives the same noise in the consonants, bit by bit.
        """
        known = [(char, owner) for char, owner in zip(reading.chars, reading.owners, strict=True) if char in self._ids]
        noise = np.random.default_rng(seed)
        for start, stop in _runs("".join(char for char, _ in known)):
            run = known[start:stop]
            while run and run[-1][0] == " ":
                run.pop()
            if run:
                yield self._utter(run, speed, noise)

    def _utter(self, run: list[tuple[str, int]], speed: float, noise: np.random.Generator) -> Utterance:
        ids = [0, *(self._ids[char] for char, _ in run), 0]
        feed = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        outputs = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        units = outputs.pop(_DURATIONS.decode()).ravel().astype(int)
        samples = dsp.synth(*(part[0] for part in outputs.values()), noise)
        return Utterance(
            samples=samples,
            chars=(PAD, *(char for char, _ in run), PAD),
            owners=(NO_WORD, *(owner for _, owner in run), NO_WORD),
            units=tuple(units.tolist()),
        )


@lru_cache(maxsize=1)
def load_voice(voice: Voice) -> Hibari:
    """The voice, loaded once and kept for the jobs that follow in this process."""
    return Hibari(voice)


def _runs(chars: str, limit: int = MAX_PHONEMES) -> Iterator[tuple[int, int]]:
    """Cuts of at most `limit` characters: after a clause mark if there is one, else at a space, else anywhere."""
    start = 0
    while len(chars) - start > limit:
        window = chars[start : start + limit]
        marks = max(window.rfind(mark + " ") for mark in _CLAUSE_MARKS)
        cut = marks + 2 if marks > limit // 4 else window.rfind(" ") + 1 or limit
        yield start, start + cut
        start += cut
    if start < len(chars):
        yield start, len(chars)
