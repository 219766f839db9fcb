"""Reloads config.yaml while the daemon runs (SIGHUP). An invalid file changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from daemon.config.settings import Settings

#: Settings that need a restart: open folders, the bound port, the number of processes.
FIXED = ("paths.", "metrics.", "lanes.cpu.processes", "intake.watch", "log.format")


@dataclass
class ReloadedSettings:
    """Dotted names of changed settings: those in force now, and those that need a restart."""

    applied: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def reload_settings(settings: Settings, path: Path) -> ReloadedSettings:
    """Update `settings` from the file, in place, so that all holders of a section see the change.

    Raises:
        ConfigError: the file is invalid; nothing was changed.
    """
    change = ReloadedSettings()
    _apply_changes(settings, Settings.load(path), "", change)
    return change


def _apply_changes(now: BaseModel, new: BaseModel, prefix: str, change: ReloadedSettings) -> None:
    for name in type(now).model_fields:
        key, old, value = prefix + name, getattr(now, name), getattr(new, name)
        if isinstance(old, BaseModel) and isinstance(value, type(old)):
            _apply_changes(old, value, f"{key}.", change)
        elif old == value:
            continue
        elif key.startswith(FIXED):
            change.waiting.append(key)
        else:
            setattr(now, name, value)
            change.applied.append(key)
