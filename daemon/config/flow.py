"""Writes a value on one line as a person writes it in YAML, for messages."""

from __future__ import annotations

from typing import Any


def as_flow(value: Any) -> str:
    """Return a value in braces and brackets, without quotes; yes and no as `true` and `false`."""
    if isinstance(value, dict):
        parts = (as_flow(key) if item is None else f"{as_flow(key)}: {as_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_flow, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
