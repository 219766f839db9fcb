"""Explains errors in config.yaml: one sentence that names the setting, and a hint how to correct it."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def explain_setting_error(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Return message and hint for an error that Pydantic reports about a settings model."""
    place = [str(part) for part in error["loc"]]
    key = ".".join(place) or "the file"
    if error["type"] == "extra_forbidden":
        known = _settings_in(model, place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.6)
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
    return f"{key} is {_short(error['input'])}.", f"It should be {wanted}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _settings_in(model: type[BaseModel], place: list[str]) -> list[str]:
    """Return the keys of the section at `place`; none where it is no section."""
    for name in place:
        kind = model.model_fields[name].annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
