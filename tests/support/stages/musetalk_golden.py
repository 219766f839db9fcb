"""The golden data of a tiny MuseTalk (tests/data/musetalk-tiny/README.md), and what is near enough to it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from stages.musetalk.device import Placement
from stages.musetalk.painter import Painter

HOME = Path(__file__).resolve().parents[2] / "data" / "musetalk-tiny"
MODELS, INPUTS = HOME / "models", HOME / "inputs"
Array = npt.NDArray[Any]


def load_painter(dtype: torch.dtype = torch.float32, batch: int = 1) -> Painter:
    """Return the tiny engine on the processor. A pass always computes the whole `batch`, also for fewer frames."""
    return Painter.load("musetalk", MODELS, Placement(torch.device("cpu"), dtype), batch=batch)


@functools.cache
def arrays(stem: str) -> dict[str, Array]:
    """Return all arrays of golden/<stem>.npz."""
    with np.load(HOME / "golden" / f"{stem}.npz") as data:
        return dict(data)


@functools.cache
def tables() -> dict[str, Any]:
    """Return golden/_tables.json."""
    loaded: dict[str, Any] = json.loads((HOME / "golden" / "_tables.json").read_bytes())
    return loaded


def picture(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture as OpenCV reads it, [height, width, channels] in BGR."""
    loaded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert loaded is not None
    return np.asarray(loaded, np.uint8)


def box(array: Array) -> tuple[int, int, int, int]:
    """Return the corners x1, y1, x2, y2 in px, as integers."""
    x1, y1, x2, y2 = (int(side) for side in array)
    return x1, y1, x2, y2


@functools.cache
def _limits() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((HOME / "tolerances.json").read_bytes())["limits"]
    return loaded


def distance(got: Array, want: Array) -> dict[str, float]:
    """Return the three metrics of tolerances.json."""
    assert got.shape == want.shape
    a, b = np.asarray(got, np.float64), np.asarray(want, np.float64)
    difference = np.abs(a - b)
    norm = float(np.linalg.norm(b)) or 1.0
    return {
        "max": float(difference.max(initial=0)),
        "mean": float(difference.mean()) if difference.size else 0.0,
        "relL2": float(np.linalg.norm(a - b)) / norm,
    }


def near(name: str, got: Any, want: Array | None = None, precision: str = "fp32") -> bool:
    """Return whether an array is within the limits for `name` (<file stem>.<array>); `want` where only a part is compared."""
    stem, key = name.split(".")
    expected = arrays(stem)[key] if want is None else want
    limits: dict[str, float] = next(entry[precision] for entry in _limits() if re.fullmatch(entry["array"], name))
    found = distance(np.asarray(got), expected)
    return all(found[metric] <= limit for metric, limit in limits.items())
