"""Portraits of people who do not exist: `python benchmarks/face/random_portraits.py FOLDER SEED...`.

Reads the two networks inside the package random-face (about 40 MB) with openvino. Neither is part of the program's lock: install
them into an environment of their own and name its Python. One seed makes one picture of 1024 px, always the same one.
"""

from __future__ import annotations

import datetime
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: Styles that are averaged for the middle of all faces; how far a face may lie from it, in parts of a random one's distance.
_STYLES, _SPREAD = 4096, (0.55, 0.85)
_WIDTH = 512
MISSING = (
    "The package random-face is not installed here: make an environment (python -m venv FOLDER), run "
    "FOLDER/bin/pip install --no-deps random-face==2021.7.21.1 && FOLDER/bin/pip install openvino opencv-python-headless numpy, "
    "and name it with --random-python FOLDER/bin/python."
)


def seeds(count: int, first: int | None) -> list[int]:
    """So many seeds from `first` on; without it they follow from today's date, so that no portrait is known beforehand."""
    if first is None:
        first = int(datetime.datetime.now(tz=datetime.UTC).strftime("%Y%m%d")) * 100
    return list(range(first, first + count))


def make(folder: Path, chosen: Sequence[int], python: Path | None = None) -> list[Path]:
    """Make a portrait for each seed, in a process of the `python` that has random-face, and return the files.

    Raises:
        SystemExit: the package is missing.
    """
    print(f"random portraits with the seeds {', '.join(map(str, chosen))}", flush=True)
    command = [str(python or sys.executable), "-P", __file__, str(folder), *map(str, chosen)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(1)  # the child has told why
    return [_file(folder, seed) for seed in chosen]


def _file(folder: Path, seed: int) -> Path:
    return folder / f"random_{seed}.png"


def main(folder: Path, chosen: Sequence[int]) -> None:
    """Write one PNG of 1024 × 1024 px for each seed into `folder`.

    Raises:
        SystemExit: random-face or openvino is not installed in this environment, or a file could not be written.
    """
    package = importlib.util.find_spec("random_face")
    if package is None or package.origin is None or importlib.util.find_spec("openvino") is None:
        raise SystemExit(MISSING)
    import openvino

    data, core = Path(package.origin).parent / "data", openvino.Core()

    def mapping(rows: int) -> Any:
        model = core.read_model(str(data / "MappingNetwork.xml"))
        model.reshape({model.inputs[0].get_any_name(): [rows, _WIDTH]})
        return core.compile_model(model, "CPU")

    draw = np.random.default_rng(0).normal(size=(_STYLES, _WIDTH)).astype(np.float32)
    middle = mapping(_STYLES)([draw])[0].mean(axis=0, keepdims=True)
    to_style, to_face = mapping(1), core.compile_model(core.read_model(str(data / "SynthesisNetwork.xml")), "CPU")
    folder.mkdir(parents=True, exist_ok=True)
    for seed in chosen:
        chance = np.random.default_rng(seed)
        style = to_style([chance.normal(size=(1, _WIDTH)).astype(np.float32)])[0]
        face = to_face([middle + chance.uniform(*_SPREAD) * (style - middle)])[0][0]
        pixels = np.clip((np.clip(face, -1, 1) + 1) / 2 * 255 + 0.5, 0, 255).astype(np.uint8)
        if not cv2.imwrite(str(_file(folder, seed)), pixels.transpose(1, 2, 0)[:, :, ::-1]):
            raise SystemExit(f"{_file(folder, seed)} could not be written.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]])
