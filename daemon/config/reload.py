"""Reading config.yaml anew while the daemon runs (SIGHUP). A file that is wrong changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from daemon.config.settings import Settings

#: What is fixed at start: folders that are open and locked, a port that is bound, processes that are counted.
FIXED = ("paths.", "metrics.", "lanes.cpu.processes", "intake.watch", "log.format")


@dataclass
class ReloadedSettings:
    """Settings by their dotted names: those in force now, and those that wait for the next start."""

    applied: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def reload_settings(settings: Settings, path: Path) -> ReloadedSettings:
    """Bring `settings` up to date with the file, in place, so that everybody who holds them or a section of them sees it.

    Raises:
        ConfigError: the file is wrong; nothing was changed.
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
            now.__dict__[name] = value  # sections are frozen for everybody else
            change.applied.append(key)
