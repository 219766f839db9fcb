"""What a form says of movement and expressions, as keys of a manifest, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

#: Fields that are keys of `motion`.
MOTION: Final = ("head", "expressiveness")
#: Field for expressions, one a line.
EXPRESSIONS: Final = "expressions"
_LINE: Final = re.compile(r"(?P<name>[^\s\d]+)(?:\s+(?P<intensity>\d\S*))?(?:\s+at\s+(?P<at>.+))?", re.IGNORECASE)

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d*)?(?:e-?\d{1,3})?", re.IGNORECASE | re.ASCII)


def motion_of(values: Mapping[str, str]) -> dict[str, float | str]:
    """Return the key `motion` of what was chosen; empty where all is as usual."""
    return {name: _number(values[name]) for name in MOTION if values[name].strip()}


def expressions_of(values: Mapping[str, str]) -> list[dict[str, Any]] | str:
    """Return the key `expressions` of lines such as `smile at lovely`, `serious 0.5 at 4.5` or `smile`, which is from the start
    on. What is no such line is returned as it is, so that whoever checks the manifest says what is wrong.
    """
    found = []
    for line in filter(None, map(str.strip, values[EXPRESSIONS].splitlines())):
        parts = _LINE.fullmatch(line)
        if parts is None:
            return line
        one: dict[str, Any] = {"at": _number(parts["at"] or "0"), "name": parts["name"]}
        found.append(one | ({"intensity": _number(parts["intensity"])} if parts["intensity"] else {}))
    return found


def movement_fields(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of what a manifest says of movement and expressions."""
    motion, listed = manifest.get("motion"), manifest.get("expressions")
    known = motion if isinstance(motion, Mapping) else {}
    fields = {name: f"{known[name]:g}" for name in MOTION if isinstance(known.get(name), int | float)}
    lines = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {**fields, EXPRESSIONS: "\n".join(map(_line, lines))}


def _line(one: Mapping[str, Any]) -> str:
    strength = f" {one['intensity']}" if "intensity" in one else ""
    return f"{one.get('name', '')}{strength} at {one.get('at', 0)}"


def _number(text: str) -> float | str:
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else text
