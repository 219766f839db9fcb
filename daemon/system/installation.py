"""How this program was installed, and so what brings the parts that it lacks. One sentence each, for the hints of errors.

The service of tools/install.sh has a version's environment of its own for each upgrade: what `pip` put there by hand would be
gone with the next, and the checkout's `make setup` would mend another environment.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where tools/install.sh puts the program, and the user that systemd/sysusers.conf makes for it.
HOME = Path("/opt/avatard")
USER = "avatard"


@dataclass(frozen=True)
class Missing:
    """What keeps a part of the program from being used.

    Attributes:
        why: what is missing or wrong, as the middle of a sentence.
        remedy: one sentence or more: what to do about it.
    """

    why: str
    remedy: str


def is_service() -> bool:
    """Whether this is the installed service's program, and not a checkout's or another environment's."""
    return HOME in Path(sys.prefix).resolve().parents


def as_service(command: str) -> str:
    """A command line for an administrator, run as the service's user where there is one."""
    if not is_service():
        return command
    return f"sudo -u {USER} {command}" if shutil.which("sudo") else f"runuser -u {USER} -- {command}"


def how_to_install_extra(name: str, *, again: bool = False) -> str:
    """What brings the packages of an extra of pyproject.toml, such as "xtts"; `again`: they are there, but damaged."""
    if is_service():  # installs into a new environment, and so anew
        return f"As root, in a checkout of avatard: `make install OPTIONS=--{name}`."
    return f'Run `pip install {"--force-reinstall " if again else ""}"avatard[{name}]"`.'


def packages_missing(modules: Sequence[str], pins: Mapping[str, str], extra: str) -> Missing | None:
    """What of an extra's packages is not installed here, or in another version. Imports none of them.

    Args:
        modules: what is imported.
        pins: package → the one version that will do; the first names the whole where a module is not there.
        extra: of pyproject.toml, that brings them.
    """
    if not all(importlib.util.find_spec(name) for name in modules):
        return Missing(f"{next(iter(pins))}, or a package that it needs, is not installed", how_to_install_extra(extra))
    for package, wanted in pins.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # the module is another package's, such as the old `TTS`
            found = "something else"
        if found != wanted:
            why = f"{package} is installed as {found}; {wanted} is what the engine was proven with"
            return Missing(why, how_to_install_extra(extra))
    return None


def how_to_fetch_models(name: str) -> str:
    """What brings model files, by what `avatar models` calls them."""
    return f"Run `{as_service(f'avatar models fetch {name}')}`."


def how_to_repair() -> str:
    """What mends the packages that every installation has."""
    return (
        "As root, in a checkout of avatard: `make install`." if is_service() else "Run the set-up again: `make setup`."
    )


def how_to_start() -> str:
    """What starts the daemon."""
    return "Start it with `systemctl start avatard`, as root." if is_service() else "Start it with `avatar run`."


def how_to_restore_folders() -> str:
    """What makes the folders of the installed service again, with their owners and modes."""
    return "As root: `systemd-tmpfiles --create avatard.conf` makes it, and gives it its owner and mode."
