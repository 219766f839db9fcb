"""The settings: read from config.yaml, validated, and reloaded on SIGHUP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daemon.config.settings import Settings

__all__ = ["Settings"]


def __getattr__(name: str) -> Any:
    """Import `Settings` where it is asked for: a command that needs only the folders starts in two thirds of the time."""
    if name != "Settings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from daemon.config.settings import Settings

    return Settings
