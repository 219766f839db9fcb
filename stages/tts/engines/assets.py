"""Locates data files of the package hibari, which several engines use."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path


@cache
def hibari_assets() -> Path | None:
    """Return the folder of hibari's data; None where the package is not installed."""
    spec = importlib.util.find_spec("hibari")  # does not run the package
    return Path(spec.origin).parent / "assets" if spec and spec.origin else None


def hibari_file(name: str) -> Path:
    """Return the path of a data file of hibari's package, such as vocab.json.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    folder = hibari_assets()
    if folder is None:
        raise FileNotFoundError("hibari-tts is not installed")
    return folder / name
