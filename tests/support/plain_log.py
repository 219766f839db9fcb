"""How structlog is configured before each test."""

from __future__ import annotations

from typing import Any

import structlog

#: Its own settings, except that exceptions are logged as Python prints them: rich, which it uses otherwise, shows all local
#: variables, for which it takes a second.
_SETTINGS: dict[str, Any] = structlog.get_config()
_SETTINGS["processors"] = [
    *_SETTINGS["processors"][:-1],
    structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
]


def configure_plain_log() -> None:
    """Configure it anew: a command that a test calls in its own process logs as it likes, and would go on doing so."""
    structlog.configure(**_SETTINGS)
