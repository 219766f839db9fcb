"""Processes of pytest-xdist tell the first one what it shows, and no more.

Each test sends it five messages: that it begins and ends, and a report of its preparation, of itself and of its end. To pack and
unpack all of that took a twentieth of the time of `make quick`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def send_fewer_messages(config: pytest.Config) -> None:
    """Let this process send fewer messages, unless options ask for what only the others say: `--durations`, `--junit-xml`."""
    if config.option.durations or config.option.xmlpath:
        return
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            plugin.sendevent = _where_it_matters(plugin.sendevent)


def _where_it_matters(send: Callable[..., None]) -> Callable[..., None]:
    def sendevent(name: str, **said: Any) -> None:
        if name in ("logstart", "logfinish"):
            return
        if name == "testreport" and said["data"]["outcome"] == "passed":
            if said["data"]["when"] != "call":
                return
            said["data"].update(keywords={}, sections=[])  # shown of failed tests alone
        send(name, **said)

    return sendevent
