"""Writes docs/config.md: every setting of config.yaml, from daemon/config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs_tables import plain, scalar, type_of
from pydantic import BaseModel

from daemon.config import Settings
from daemon.config.hooks import Callback, Hook
from daemon.config.stage_settings import ExternalEngine

HEADER = """\
# Settings

config.yaml needs only the settings that differ from their defaults; this page lists all of them. The file is the one given with
`--config`, else `$AVATAR_CONFIG`, `./config.yaml`, `/etc/avatard/config.yaml`. No tool writes it, and no upgrade changes it. A
name such as `intake.scan_s` stands for nested keys:

```yaml
intake:
  scan_s: 10
```

Relative folders are taken from the folder of config.yaml. Names that end in `_s` are seconds, `_days` days, `_mb` millions of
bytes, `_px` pixels, `_deg` degrees. `avatar config` shows every setting as it is in force, `avatar config --check` only says
whether the file can be used. A daemon that runs reads the file again on `systemctl reload avatard` (SIGHUP);
[operations.md](operations.md) says which settings need a restart.

This page is written by `make docs` from `daemon/config`.
"""


def config_page() -> str:
    """Return docs/config.md, with a table for each section of the settings."""
    schema = Settings.model_json_schema()
    parts = [HEADER]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            parts += list(_section(name, type(default), schema["$defs"]))
    for key, model in (("targets.N", Hook), ("callbacks.HOST", Callback)):
        parts += [f"### hooks.{key}\n", f"{(model.__doc__ or '').splitlines()[0]}\n"]
        parts += [*_table(model, f"hooks.{key}", schema["$defs"]), ""]
    parts += ["## engines\n", f"{Settings.model_fields['engines'].description}\n"]
    parts += [*_table(ExternalEngine, "engines.NAME", schema["$defs"]), ""]
    return "\n".join(parts)


def _section(name: str, model: type[BaseModel], schemas: dict[str, Any]) -> Iterator[str]:
    """Yield a section, then the sections in it."""
    yield f"{'#' * (2 + name.count('.'))} {name}\n"
    yield f"{(model.__doc__ or '').splitlines()[0]}\n"
    rows = _table(model, name, schemas)
    if len(rows) > 2:
        yield from (*rows, "")
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from _section(f"{name}.{key}", type(default), schemas)


def _table(model: type[BaseModel], prefix: str, schemas: dict[str, Any]) -> list[str]:
    """Return the settings of a section that are no sections themselves."""
    lines = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            continue
        shown = "required" if field.is_required() else f"`{scalar(plain(default))}`"
        schema = schemas[model.__name__]["properties"][key]
        lines.append(f"| `{prefix}.{key}` | {type_of(schema, empty=())} | {shown} | {field.description} |")
    return lines
