"""Write what follows from the typed models: config.yaml, docs/manifest.md and docs/manifest.schema.json.

With --check nothing is written; the exit code is 1 when a file is not what the models say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.config import Settings
from daemon.jobs.manifest import GROUPS as NESTED
from daemon.jobs.manifest import Manifest, json_schema

ROOT = Path(__file__).resolve().parent.parent
#: Keys of a manifest in the order people ask for them. A key that is not here comes last.
GROUPS: dict[str, tuple[str, ...]] = {
    "What is said": ("text", "audio", "voice", "language", "speed"),
    "Who": ("image", "face"),
    "Look": (
        "quality",
        "format",
        "codec",
        "fps",
        "size",
        "aspect",
        "fit",
        "background",
        "motion",
        "expressions",
        "captions",
    ),
    "Handling": ("kind", "profile", "priority", "output", "metadata"),
}

CONFIG_HEADER = """\
# avatard: every setting with its default. Leave out what you do not change.
# Folders are taken from this file's own folder. Written by `make docs` from daemon/config.
"""
MANIFEST_HEADER = """\
# The manifest

A manifest is a YAML file (`.yaml` or `.yml`) in the inbox. One document is one job; documents are parted by `---`.
The smallest one:

```yaml
text: Hello from the shared folder.
image: portrait.png
```

Pictures and sounds lie next to the manifest (in the same folder or below it). Unknown keys are errors, and the message says
which key was probably meant. Anchors and aliases are not used. Check a file without handing it in: `avatar validate FILE`.
Editors check while you type with [manifest.schema.json](manifest.schema.json):

```yaml
# yaml-language-server: $schema=manifest.schema.json
```

This page is written by `make docs` from `daemon/jobs/manifest.py`.
"""


def plain(value: Any) -> Any:
    """A default as YAML shows it."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    return str(value) if isinstance(value, Path) else value


def scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=200).removesuffix("...\n").strip()


def config_lines(model: type[BaseModel], indent: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield f"{indent}{name}:"
            yield from config_lines(type(default), indent + "  ")
        else:
            line = f"{indent}{name}: {scalar(plain(default))}"
            yield f"{line:44}  # {field.description}" if field.description else line


def type_of(schema: dict[str, Any]) -> str:
    """A JSON Schema type in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(part) for part in schema["anyOf"] if part.get("type") != "null"))
    if "enum" in schema:
        return " / ".join(f"`{value}`" for value in schema["enum"])
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "object": "keys and values",
        "array": "list of keys below",
    }
    kind = words.get(str(schema.get("type")), "keys below" if "$ref" in schema else "any")
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return f"{kind} {' '.join(limits)}".strip()


def row(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    default = field.get_default(call_default_factory=True)
    shown = (
        ""
        if field.is_required() or default is None or isinstance(default, (BaseModel, dict, tuple)) or default != default
        else f"`{scalar(default)}`"
    )
    return f"| `{name}` | {type_of(schema)} | {shown} | {field.description} |"


def table(model: type[BaseModel], names: tuple[str, ...], schemas: dict[str, Any], prefix: str = "") -> list[str]:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return lines + [row(prefix + name, model.model_fields[name], schemas[name]) for name in names]


def manifest_page() -> str:
    schema = json_schema()
    parts = [MANIFEST_HEADER]
    grouped = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in Manifest.model_fields if name not in grouped)
    for title, names in {**GROUPS, **({"More": rest} if rest else {})}.items():
        parts += [f"## {title}\n", *table(Manifest, names, schema["properties"]), ""]
        for group in (name for name in names if name in NESTED):
            model = NESTED[group]
            properties = schema["$defs"][model.__name__]["properties"]
            parts += [f"### {group}\n", *table(model, tuple(model.model_fields), properties, f"{group}."), ""]
    return "\n".join(parts)


def main() -> int:
    wanted = {
        ROOT / "config.yaml": CONFIG_HEADER + "\n".join(config_lines(Settings)) + "\n",
        ROOT / "docs" / "manifest.md": manifest_page(),
        ROOT / "docs" / "manifest.schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the models say: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
