"""The settings: read from config.yaml, validated, and reloaded on SIGHUP."""

from daemon.config.settings import Settings

__all__ = ["Settings"]
