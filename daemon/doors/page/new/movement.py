"""What a form says of movement and expressions, as keys of a manifest, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from daemon.doors.http.problems import RequestError

#: Fields that are keys of `motion`.
MOTION: Final = ("head", "expressiveness")
#: Field for expressions, one a line.
EXPRESSIONS: Final = "expressions"
#: The expressions that there are.
NAMES: Final = ("smile", "surprise", "serious", "neutral")
#: Amount of a movement, and strength of an expression, that nothing is said of.
_USUAL: Final = 1.0
_LINE: Final = re.compile(r"(?P<name>[^\s\d]+)(?:\s+(?P<intensity>\d\S*))?(?:\s+at\s+(?P<at>.+))?", re.IGNORECASE)

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d*)?(?:e-?\d{1,3})?", re.IGNORECASE | re.ASCII)


def movement_of(values: Mapping[str, str], before: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the keys `motion` and `expressions` of a manifest; none where all is as usual.

    Args:
        before: the fields of the job that is made again, or None. What they said, and these do not, is as usual again.

    Raises:
        RequestError: `manifest-invalid`: a line of the expressions is none.
    """
    motion = {name: _number(values[name]) for name in MOTION if values[name].strip()}
    motion |= {name: _USUAL for name in MOTION if before is not None and before[name] and name not in motion}
    expressions = [_expression(line) for line in map(str.strip, values[EXPRESSIONS].splitlines()) if line]
    found: dict[str, Any] = {"motion": motion} if motion else {}
    if expressions or (before is not None and before[EXPRESSIONS]):
        found["expressions"] = expressions
    return found


def _expression(line: str) -> dict[str, Any]:
    """Return the entry of a line such as `smile at lovely`, `serious 0.5 at 4.5`, or `smile`, which is from the start on."""
    parts = _LINE.fullmatch(line)
    if parts is None or parts["name"].casefold() not in NAMES:
        raise RequestError(
            "manifest-invalid",
            f"“{line[:60]}” is no expression.",
            "Write in each line one such as “smile at lovely” or “serious at 4.5”: smile, surprise, serious or neutral.",
            errors=[{"pointer": f"#/{EXPRESSIONS}", "detail": "a line is no expression"}],
        )
    one: dict[str, Any] = {"at": _number(parts["at"] or "0"), "name": parts["name"]}
    return one | ({"intensity": _number(parts["intensity"])} if parts["intensity"] else {})


def movement_fields(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of what a manifest says of movement and expressions."""
    motion, listed = manifest.get("motion"), manifest.get("expressions")
    known = motion if isinstance(motion, Mapping) else {}
    fields = {
        name: f"{known[name]:g}"
        for name in MOTION
        if isinstance(known.get(name), int | float) and known[name] != _USUAL
    }
    lines = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {**fields, EXPRESSIONS: "\n".join(map(_line, lines))}


def _line(one: Mapping[str, Any]) -> str:
    strength = f" {one['intensity']}" if one.get("intensity", _USUAL) != _USUAL else ""
    return f"{one.get('name', '')}{strength} at {one.get('at', 0)}"


def _number(text: str) -> float | str:
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else text
