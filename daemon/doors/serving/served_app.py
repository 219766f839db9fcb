"""The app as the processes of `avatar server start` serve it: what every request needs is made before the first one."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

from starlette.types import ASGIApp

from daemon.config import Settings
from daemon.doors.http.app import create_app
from daemon.doors.page.pages import environment
from daemon.system.config_file import config_path
from daemon.telemetry.logs import configure_logging

#: How long a thread that computes may keep the others waiting, s. With Python's own 5 ms each step of every request would wait so
#: long while the rows of a large table are checked.
SWITCH_S: Final = 0.0005


def create_served_app() -> ASGIApp:
    """Return the app, with the templates of its pages compiled, and settled in memory.

    What is in memory now stays for good. Python would look through all of it for garbage again and again, which holds up every
    request that comes meanwhile (100 ms), so that it is told not to.
    """
    settings = Settings.load(config_path(os.environ.get("AVATAR_CONFIG")))
    configure_logging(settings.log)  # of several workers, each is a process that nobody else told how to log
    app, made = create_app(settings), environment()
    for name in made.list_templates():
        made.get_template(name)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    return app
