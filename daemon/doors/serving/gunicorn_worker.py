"""The worker class with which gunicorn serves the HTTP door as `avatar server start` does.

docs/http.md says how it is started. With another class the app is the same, but nothing bounds the headers and the pace of a
connection (`daemon/doors/http/connections.py`), and the app does not know where it listens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from uvicorn_worker import UvicornWorker

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.app import BOUND, check_safe, is_local
from daemon.doors.http.connections import server_options
from daemon.system.config_file import config_path


class BoundedWorker(UvicornWorker):  # type: ignore[misc]
    """A process of gunicorn with the options of uvicorn that `avatar server start` gives."""

    CONFIG_KWARGS: Final[dict[str, Any]] = server_options()

    def init_process(self) -> None:
        """Tell the app where it listens, load it, and serve.

        Raises:
            ConfigError: as `daemon.doors.http.app.create_app`, also for an app that was loaded before (`--preload`).
        """
        os.environ[BOUND] = bound = bound_to(self.cfg.address)
        settings = Settings.load(config_path(os.environ.get("AVATAR_CONFIG")))
        check_safe(settings, ApiKeys(settings.server.keys), bound)
        super().init_process()


def bound_to(addresses: Iterable[str | tuple[str, int]]) -> str:
    """Return the address of gunicorn's that others reach, as `create_app` takes it; else one that only this machine reaches."""
    hosts = [one[0] if isinstance(one, tuple) else "unix" for one in addresses]
    return next((host for host in hosts if not is_local(host)), hosts[0])
