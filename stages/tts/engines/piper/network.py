"""Runs a Piper network: a VITS in ONNX, which computes a duration for every symbol and draws random numbers.

Both are inside the network. Its file is changed in memory before it is loaded: the durations become an output, and the random
numbers an input, so that the same seed gives the same sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.model_files.wire_format import field_head, read_fields, read_spans, write_field, write_number
from stages.tts.engines.onnx import open_session
from stages.tts.engines.piper.voice_files import VoiceSettings
from stages.tts.timing import Samples

#: Number of random values that are given for each place where the network draws some; it uses them again where it needs more.
NOISE_VALUES = 1 << 18
#: Most symbols that the network gets at once; it was trained on sentences of about this length.
MAX_PHONEMES = 300

# onnx.proto3: numbers of fields, and of types of data
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT = 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP = 1, 2, 3, 4
_TENSOR_TYPE, _TENSOR_NAME, _TENSOR_DATA = 2, 8, 9
_FLOAT, _INT64 = 1, 7
_ZERO, _ONE = "avatard/zero", "avatard/one"


@dataclass(frozen=True)
class _Opened:
    """The changed file of a network.

    Attributes:
        content: the serialised model.
        durations: name of the tensor of the durations.
        noises: names of the inputs for random numbers.
    """

    content: bytes
    durations: str
    noises: tuple[str, ...]


class PiperNetwork:
    """A network in memory.

    Args:
        model: content of the ONNX file.
        settings: of the voice.
        threads: number of threads within an operator.
        plain: without graph optimisation.

    Raises:
        ValueError: it is not a network of Piper; says why.
        Exception: onnxruntime cannot load it.
    """

    def __init__(self, model: bytes, settings: VoiceSettings, threads: int, *, plain: bool) -> None:
        opened = _open_file(memoryview(model))
        self._settings = settings
        self._durations, self._noises = opened.durations, opened.noises
        self._session = open_session(opened.content, opened.durations, threads, pooled=True, plain=plain)
        self._has_speakers = "sid" in {given.name for given in self._session.get_inputs()}

    def say(
        self, ids: Sequence[int], speaker: int, speed: float, seed: tuple[int, ...]
    ) -> tuple[Samples, npt.NDArray[np.int64]]:
        """Synthesize symbols, given by their numbers.

        Returns the sound (float32 [n]) and the duration of each symbol, int64 [symbols], in units of which a whole number of
        samples is one: `sum(durations)` divides n.

        Raises:
            ValueError: sound and durations do not belong together.
        """
        scales = (self._settings.noise_scale, self._settings.length_scale / speed, self._settings.noise_w)
        feed = {
            "input": np.asarray([ids], np.int64),
            "input_lengths": np.asarray([len(ids)], np.int64),
            "scales": np.asarray(scales, np.float32),
        }
        if self._has_speakers:
            feed["sid"] = np.asarray([speaker], np.int64)
        random = np.random.default_rng(seed)
        feed |= {name: random.standard_normal(NOISE_VALUES, np.float32) for name in self._noises}
        sound, units = self._session.run(["output", self._durations], feed)
        samples, counts = sound.ravel().astype(np.float32), units.ravel().astype(np.int64)
        total = int(counts.sum())
        if len(counts) != len(ids) or total <= 0 or len(samples) % total:
            raise ValueError(f"its durations ({total}) do not fit its sound ({len(samples)} samples)")
        return samples, counts


def _open_file(model: memoryview) -> _Opened:
    """Make the random numbers of a network an input, and find the tensor of its durations.

    Raises:
        ValueError: it is not a network of Piper.
    """
    before, graph = b"", None
    for number, _, whole, payload in read_spans(model):
        if number == _GRAPH and graph is None:
            graph = payload
        else:
            before += bytes(whole)
    if graph is None:
        raise ValueError("it contains no ONNX network")
    kept: list[memoryview | bytes] = []
    durations: list[str] = []
    noises: list[str] = []
    for number, _, whole, payload in read_spans(graph):
        kind = _text_of(payload, _NODE_OP) if number == _NODE else ""
        if kind == "Ceil":  # durations are rounded up to whole units; nothing else in these networks is
            durations.append(_text_of(payload, _NODE_OUTPUT))
        if kind == "RandomNormalLike":
            noises.append(f"avatard/noise{len(noises)}")
            kept.append(_draw_from_input(noises[-1], _text_of(payload, _NODE_INPUT), _text_of(payload, _NODE_OUTPUT)))
        else:
            kept.append(whole)
    if len(durations) != 1:
        raise ValueError(f"a Piper network rounds its durations at one place; this one does at {len(durations)}")
    kept += [_write_scalar(_ZERO, 0), _write_scalar(_ONE, 1), *map(_write_input, noises)]
    changed = b"".join(kept)
    return _Opened(before + field_head(_GRAPH, len(changed)) + changed, durations[0], tuple(noises))


def _draw_from_input(noise: str, like: str, output: str) -> bytes:
    """Return nodes that fill a tensor of the shape of `like` with the values of the input `noise`, used again from its start."""
    steps = (
        ("Shape", (like,), f"{noise}/shape"),
        ("Size", (like,), f"{noise}/size"),
        ("Range", (_ZERO, f"{noise}/size", _ONE), f"{noise}/range"),
        ("Size", (noise,), f"{noise}/count"),
        ("Mod", (f"{noise}/range", f"{noise}/count"), f"{noise}/index"),
        ("Gather", (noise, f"{noise}/index"), f"{noise}/values"),
        ("Reshape", (f"{noise}/values", f"{noise}/shape"), output),
    )
    return b"".join(_write_node(*step) for step in steps)


def _write_node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    fields = [(_NODE_INPUT, name) for name in inputs]
    fields += [(_NODE_OUTPUT, output), (_NODE_NAME, f"{output}/{kind}"), (_NODE_OP, kind)]
    return write_field(_NODE, b"".join(write_field(number, text.encode()) for number, text in fields))


def _write_scalar(name: str, value: int) -> bytes:
    data = write_field(_TENSOR_DATA, value.to_bytes(8, "little"))
    return write_field(
        _INITIALIZER, write_number(_TENSOR_TYPE, _INT64) + write_field(_TENSOR_NAME, name.encode()) + data
    )


def _write_input(name: str) -> bytes:
    """Return the declaration of an input, float32 [any]."""
    shape = write_field(2, write_field(1, write_field(2, f"{name}/values".encode())))
    tensor = write_field(1, write_number(1, _FLOAT) + shape)
    return write_field(_INPUT, write_field(1, name.encode()) + write_field(2, tensor))


def _text_of(node: memoryview, field: int) -> str:
    """Return the first value of a field of text; empty where there is none."""
    return next((bytes(payload).decode() for number, payload in read_fields(node) if number == field), "")
