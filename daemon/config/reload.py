"""Reloads config.yaml while the daemon runs (SIGHUP). An invalid file changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from daemon.config.settings import Settings

#: Settings that need a restart: open folders, the bound port, the number of processes.
FIXED = ("paths.", "metrics.", "lanes.cpu.processes", "lanes.gpu.devices", "lanes.ray.", "intake.watch", "log.format")


@dataclass
class ReloadedSettings:
    """Dotted names of changed settings: those in force now, and those that need a restart."""

    applied: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def reload_settings(settings: Settings, path: Path) -> ReloadedSettings:
    """Put the sections of the file in the place of those of `settings`, except for what needs a restart.

    Raises:
        ConfigError: the file is invalid; nothing was changed.
    """
    change = ReloadedSettings()
    new = Settings.load(path)
    merged = {name: _merge(getattr(settings, name), getattr(new, name), name, change) for name in Settings.model_fields}
    for name, section in merged.items():
        setattr(settings, name, section)
    return change


def _merge(old: Any, new: Any, key: str, change: ReloadedSettings) -> Any:
    """Return `new` with the old values of what needs a restart, and note what differs."""
    if isinstance(old, BaseModel) and type(new) is type(old):
        names = type(old).model_fields
        return old.model_copy(
            update={name: _merge(getattr(old, name), getattr(new, name), f"{key}.{name}", change) for name in names}
        )
    if old == new:
        return old
    if key.startswith(FIXED):
        change.waiting.append(key)
        return old
    change.applied.append(key)
    return new
