"""Finds the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from daemon.errors import ConfigError

#: Where a configuration is looked for when none is named: in the working folder, and where the service is installed.
PLACES: Final = ("config.yaml", "/etc/avatard/config.yaml")


def has_config(named: str | Path | None) -> bool:
    """Return whether a configuration is named, or lies in one of the usual places."""
    return bool(named) or any(Path(place).exists() for place in PLACES)


def config_path(named: str | Path | None) -> Path:
    """Return the configuration file: the one that is named, whether it exists or not, else the first of the usual places.

    Raises:
        ConfigError: `config-missing`.
    """
    if named:
        return Path(named)
    for place in PLACES:
        if Path(place).exists():
            return Path(place)
    raise ConfigError("config-missing", f"There is no {' nor '.join(PLACES)}.", "Name one with --config.")
