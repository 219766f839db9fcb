"""How this program was installed, and so what brings the parts that it lacks. One sentence each, for the hints of errors.

The service of tools/install.sh has a version's environment of its own for each upgrade: what `pip` put there by hand would be
gone with the next, and the checkout's `make setup` would mend another environment.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

#: Where tools/install.sh puts the program, and the user that systemd/sysusers.conf makes for it.
HOME = Path("/opt/avatard")
USER = "avatard"


def is_service() -> bool:
    """Whether this is the installed service's program, and not a checkout's or another environment's."""
    return HOME in Path(sys.prefix).resolve().parents


def as_service(command: str) -> str:
    """A command line for an administrator, run as the service's user where there is one."""
    if not is_service():
        return command
    return f"sudo -u {USER} {command}" if shutil.which("sudo") else f"runuser -u {USER} -- {command}"


def bring_extra(name: str, *, again: bool = False) -> str:
    """What brings the packages of an extra of pyproject.toml, such as "xtts"; `again`: they are there, but damaged."""
    if is_service():  # installs into a new environment, and so anew
        return f"As root, in a checkout of avatard: `make install OPTIONS=--{name}`."
    return f'Run `pip install {"--force-reinstall " if again else ""}"avatard[{name}]"`.'


def fetch_models(engine: str) -> str:
    """What brings the model files of an engine; see `stages.model_files.catalogue.ENGINES`."""
    return f"Run `{as_service(f'avatar models fetch {engine}')}`."


def set_up_again() -> str:
    """What mends the packages that every installation has."""
    return (
        "As root, in a checkout of avatard: `make install`." if is_service() else "Run the set-up again: `make setup`."
    )


def start() -> str:
    """What starts the daemon."""
    return "Start it with `systemctl start avatard`, as root." if is_service() else "Start it with `avatar run`."


def restore_folders() -> str:
    """What makes the folders of the installed service again, with their owners and modes."""
    return "As root: `systemd-tmpfiles --create avatard.conf` makes it, and gives it its owner and mode."
