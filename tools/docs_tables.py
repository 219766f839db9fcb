"""What the generated pages share: a model's fields as rows of a Markdown table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def plain(value: Any) -> Any:
    """Return a default as YAML shows it."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    return str(value) if isinstance(value, Path) else value


def scalar(value: Any) -> str:
    """Return a value as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=200).removesuffix("...\n").strip()


def type_of(schema: dict[str, Any], empty: tuple[str, ...] = ("null",)) -> str:
    """Return a JSON Schema type in words. `empty`: types of an alternative that are not named."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(part) for part in schema["anyOf"] if part.get("type") not in empty))
    if "enum" in schema:
        return " / ".join(f"`{value}`" for value in schema["enum"])
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` / `false`",
        "object": "keys and values",
        "array": "list of keys below" if "$ref" in schema.get("items", {}) else "list",
        "null": "`null`",
    }
    if schema.get("format") == "path":
        return "path"
    kind = words.get(str(schema.get("type")), "keys below" if "$ref" in schema else "any")
    bounds = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
    limits = [f"{word} {schema[key]}" for key, word in bounds if key in schema]
    return f"{kind} {' '.join(limits)}".strip()


def row(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    """Return the row of one key; `schema` is its JSON schema."""
    default = field.get_default(call_default_factory=True)
    shown = (
        ""
        if field.is_required() or default is None or isinstance(default, (BaseModel, dict, tuple)) or default != default
        else f"`{scalar(default)}`"
    )
    return f"| `{name}` | {type_of(schema)} | {shown} | {field.description} |"


def table(model: type[BaseModel], names: tuple[str, ...], schemas: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the lines of a table of keys; `prefix` stands before each key."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return lines + [row(prefix + name, model.model_fields[name], schemas[name]) for name in names]
