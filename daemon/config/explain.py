"""Explains errors in config.yaml: one sentence that names the setting, and a hint how to correct it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from daemon.config.flow import as_flow

#: Ending of a setting's name → its unit, and how large other units are in it.
_UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "s": (
        "seconds",
        {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "minutes": 60, "h": 3600, "d": 86400, "days": 86400},
    ),
    "days": ("days", {"h": 1 / 24, "d": 1, "day": 1, "days": 1, "w": 7, "weeks": 7, "months": 30, "y": 365}),
    "mb": (
        "megabytes",
        {"kb": 0.001, "mb": 1, "m": 1, "mib": 1.048576, "gb": 1000, "g": 1000, "gib": 1073.741824, "tb": 1e6},
    ),
    "bytes": ("bytes", {"b": 1, "kb": 1000, "k": 1000, "mb": 1e6, "m": 1e6, "mib": 2**20, "gb": 1e9, "gib": 2**30}),
}


#: Most mistakes that are told beside the first.
_MOST_TOLD = 8


def explain_setting_errors(
    errors: Sequence[ErrorDetails], model: type[BaseModel], lines: Mapping[tuple[str | int, ...], int]
) -> tuple[str, str]:
    """Return message and hint for all errors that Pydantic reports about a settings model.

    Args:
        lines: of the file's values, by their path.
    """
    told = []
    for error in errors:
        message, hint = explain_setting_error(error, model)
        path = next(
            (error["loc"][:size] for size in range(len(error["loc"]), 0, -1) if error["loc"][:size] in lines), ()
        )
        told.append((f"{message.removesuffix('.')} (line {lines[path]})." if path else message, hint))
    message, hint = told[0]
    if others := told[1:]:
        hint += f" {len(others)} more mistake{'s' if len(others) > 1 else ''}: "
        hint += " ".join(f"{one} {way}" for one, way in others[:_MOST_TOLD])
    return message, hint


def explain_setting_error(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Return message and hint for an error that Pydantic reports about a settings model."""
    place = [str(part) for part in error["loc"]]
    key = ".".join(place) or "the file"
    if error["type"] == "extra_forbidden":
        known = _settings_in(model, place[:-1])
        if "." in place[-1]:
            *groups, last = place[-1].split(".")
            return (
                f"there is no setting {key}.",
                f"Write each part in a line of its own, indented below the one before: {': '.join(groups)}: {last}.",
            )
        close = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.6)
        elsewhere = [path for path in _paths_of(model) if path.rpartition(".")[2] == place[-1]]
        if elsewhere and not close:
            return (
                f"there is no setting {key}.",
                f"Did you mean `{'` or `'.join(elsewhere[:3])}`, indented below its section?",
            )
        return (
            f"there is no setting {key}.",
            f"Did you mean `{close[0]}`?" if close else f"Known there: {', '.join(known)}.",
        )
    if error["type"] == "value_error":  # raised by our own validators, as a sentence
        reason = error["msg"].removeprefix("Value error, ").rstrip(".")
        return f"{key}: {reason}." if place else f"{reason}.", "docs/config.md lists every setting."
    wanted = error["msg"].removeprefix("Input should be ").removeprefix("a valid ").rstrip(".")
    if error["type"] in ("model_type", "model_attributes_type"):
        return f"{key} expects a nested mapping.", "docs/config.md lists its settings."
    if error["type"] in ("bool_parsing", "bool_type"):
        wanted = "true or false"
    if error["type"] == "string_type" and isinstance(error["input"], int | float) and place:
        return f"{key} is {_short(error['input'])}.", f'It should be text: write `{place[-1]}: "{error["input"]}"`.'
    if wanted_number := _without_unit(place, error):
        return f"{key} is {_short(error['input'])}.", wanted_number
    return f"{key} is {_short(error['input'])}.", f"It should be {wanted}."


def _without_unit(place: list[str], error: ErrorDetails) -> str | None:
    """Return what to write for a number with a unit, where the unit is in the setting's name: 30d for `outbox_days`."""
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*([A-Za-z]+)", str(error["input"]).strip())
    unit = _UNITS.get(place[-1].rpartition("_")[2]) if place else None
    if found is None or unit is None or error["type"] not in ("float_parsing", "int_parsing"):
        return None
    name, sizes = unit
    factor = sizes.get(found[2].casefold())
    if factor is None:
        return f"It should be a number of {name}, without a unit."
    return f"It should be a number of {name}: write `{place[-1]}: {float(found[1].replace(',', '.')) * factor:.10g}`."


def _paths_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield every setting below a model, with its sections."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths_of(field.annotation, f"{above}{name}.")


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else as_flow(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _settings_in(model: type[BaseModel], place: list[str]) -> list[str]:
    """Return the keys of the section at `place`; none where it is no section."""
    for name in place:
        kind = model.model_fields[name].annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
