"""The settings: read from config.yaml, checked, explained where they are wrong, and read again on SIGHUP."""

from daemon.config.settings import Settings

__all__ = ["Settings"]
