"""Turns what a Python program gives for a manifest into the values that a manifest file can hold."""

from __future__ import annotations

import datetime
import math
import numbers
import os
from collections.abc import Mapping
from typing import Any

from daemon.errors import JobError
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.yaml_positions import PlainScalar

#: Deepest value that is followed; a manifest has two levels.
_DEPTH = 16


def plain_manifest(manifest: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a manifest with texts, numbers, lists and mappings only: paths become texts, and numpy's numbers become Python's.
    A value that a YAML file has without quotes stays one.

    Raises:
        JobError: `manifest-invalid`: the value of a key is something else.
    """
    return {key: _plain(value, str(key), _DEPTH) for key, value in manifest.items()}


def _plain(value: Any, key: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | datetime.date | PlainScalar):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of a subclass, such as an Enum, too
    if isinstance(value, os.PathLike) and isinstance(path := os.fspath(value), str):
        return path
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(number := float(value)):
        return number
    if isinstance(value, Mapping) and depth:
        return {name: _plain(one, key, depth - 1) for name, one in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_plain(one, key, depth - 1) for one in value]
    if isinstance(value, Mapping | list | tuple):
        raise JobError(
            "manifest-invalid", f"`{key}` is nested too deeply.", f"Keep to {_DEPTH} levels below a key, or fewer."
        )
    if isinstance(value, numbers.Real):
        raise JobError("manifest-invalid", f"`{key}` has a number that is none, or too large.", "Give a smaller one.")
    what = type(value).__name__
    raise JobError(
        "manifest-invalid",
        f"`{key}` has a value that a manifest cannot hold (Python's {what}).",
        "Write it into a file and give the path."
        if key in COMPANIONS
        else "Give a text, a number, a list or a mapping.",
    )
