"""Checks what an error proposes to write, so that nobody is told to write what would be refused in its turn."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from daemon.errors import JobError
from daemon.jobs import yaml_positions
from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import GROUPS, KEYS_BELOW

#: A line of a manifest in an error, such as `speed: 0.9`, and the further values of its key: `or `vtt``.
_PROPOSED = re.compile(r"`(?P<key>[a-z_.]+): (?P<value>[^`]+)`(?P<others>(?:,? (?:or )?`[^`: ]+`)*)")
#: What asks for lines below it is no value.
_BLOCK = "|"


def proposed_lines(advice: str) -> list[str]:
    """Return the lines of a manifest that an error proposes, each `key: value`."""
    return [
        f"{found['key']}: {value}"
        for found in _PROPOSED.finditer(advice)
        if found["value"] != _BLOCK
        for value in (found["value"], *re.findall(r"`([^`]+)`", found["others"]))
    ]


def allowed_advice(path: tuple[str | int, ...], advice: str | None) -> str | None:
    """Return an advice whose values are all allowed; None in place of any other.

    Args:
        path: of the value that the advice is for; a line in it may name the key without its group.
    """
    return advice if advice and all(is_allowed(line, path) for line in proposed_lines(advice)) else None


def is_allowed(line: str, path: tuple[str | int, ...] = ()) -> bool:
    """Return whether a line `key: value` is right by itself. `path`: to the value it replaces, where it is in a group."""
    key = line.partition(":")[0]
    if key in KEYS_BELOW:
        group, key = key.split(".")
        line = line.removeprefix(f"{group}.")
    else:
        group = str(path[0]) if len(path) > 1 and str(path[0]) in GROUPS else ""
    model = GROUPS[group] if group and key in GROUPS[group].model_fields else Manifest
    try:
        documents = [*yaml_positions.load_documents(line)]
        if len(documents) != 1 or isinstance(documents[0], JobError):
            return False
        model.model_validate(documents[0].value)
    except ValidationError as exc:
        # What is missing beside it, and what does not go with it, is another matter.
        return not any(error["loc"][:1] == (key,) and error["type"] != "missing" for error in exc.errors())
    return True


def number_limits(path: tuple[str | int, ...]) -> tuple[float, float] | None:
    """Return the least and the most that a number may be; None where it has no limits, or is no number. `path`: to its value."""
    marks = getattr(_field(path), "metadata", [])
    least, most = (next((getattr(one, name) for one in marks if hasattr(one, name)), None) for name in ("ge", "le"))
    return None if least is None or most is None else (least, most)


def number_range(limits: tuple[float, float] | None) -> str:
    """Return the limits of a number in words, such as "from 0.5 to 2"; empty where it has none."""
    return " ".join(("from", _number(limits[0]), "to", _number(limits[1]))) if limits else ""


def _number(limit: float) -> str:
    return f"{limit:,}".removesuffix(".0")


def _field(path: tuple[str | int, ...]) -> Any:
    owner = GROUPS.get(str(path[0]), Manifest) if len(path) > 1 else Manifest
    found: FieldInfo | None = owner.model_fields.get(str(path[-1]))
    return found
