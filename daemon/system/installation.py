"""Tells how this program was installed, and how to install missing parts: sentences for the hints of errors.

The service of tools/install.sh gets a new environment with each upgrade: packages that `pip` installed there by hand would be
lost, and `make setup` of a checkout would repair a different environment.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Where tools/install.sh installs the program, and the user that systemd/sysusers.conf creates for it.
HOME = Path("/opt/avatard")
USER = "avatard"
#: What tools/install.sh installed last.
RECORD = Path("/etc/avatard/install.json")


@dataclass(frozen=True)
class Missing:
    """Says why a part of the program cannot be used.

    Attributes:
        why: what is missing or wrong, as the middle of a sentence.
        remedy: one sentence or more: what to do about it.
    """

    why: str
    remedy: str


def user_cache() -> Path:
    """Return the folder of this user's data that can be computed again; it may not exist. The service has one of its own."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatard"


def is_service() -> bool:
    """Return whether this program is the installed service, rather than a checkout or another environment."""
    return HOME in _parents(sys.prefix)


@cache  # asked once for each voice that could be fetched, in every job
def _parents(folder: str) -> tuple[Path, ...]:
    return tuple(Path(folder).resolve().parents)


def recorded(record: Path = RECORD) -> str | None:
    """Return what was installed, when and with which options, as a phrase; None where no record is readable."""
    try:
        known = json.loads(record.read_bytes())
        commit = f" ({known['commit']})" if known.get("commit") else ""
        options = " ".join(map(str, known["options"])) or "no options"
        return f"version {known['version']}{commit}, installed {known['installed']}, with {options}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def as_service(command: str) -> str:
    """Return a command line for an administrator; for the installed service it runs as the service's user."""
    if not is_service():
        return command
    return f"sudo -u {USER} {command}" if shutil.which("sudo") else f"runuser -u {USER} -- {command}"


def how_to_install_extra(name: str, *, again: bool = False) -> str:
    """Return how to install an extra of pyproject.toml, such as "xtts". `again`: reinstall damaged packages.

    avatard is on no index, so pip needs the place that this program came from.
    """
    if is_service():  # installs into a new environment
        return f"As root, in a checkout of avatard: `make install OPTIONS=--{name}`."
    came_from, is_checkout = _source()
    if is_checkout:
        build = "gpu" if Path("/dev/nvidiactl").exists() else "cpu"
        pip = shlex.quote(f"{sys.prefix}/bin/pip")
        force = "PIP_FORCE_REINSTALL=1 " if again else ""
        return f"Run `cd {shlex.quote(came_from)} && {force}tools/extras.sh {pip} {build} {name}`."
    place = f" @ {came_from}" if came_from else ""
    pip = shlex.join([sys.executable, "-m", "pip"])
    return f'Run `{pip} install {"--force-reinstall " if again else ""}"avatard[{name}]{place}"`.'


def _source() -> tuple[str, bool]:
    """Return where pip installed this program from, and whether that is a checkout it works in: its folder, else an address.

    Without a record of pip, the address is empty, and what lies beside a pyproject.toml is a checkout.
    """
    here = Path(__file__).resolve().parent.parent.parent
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, importlib.metadata.PackageNotFoundError):
        known = json.loads(importlib.metadata.distribution("avatard").read_text("direct_url.json") or "")
        if not known.get("dir_info", {}).get("editable"):
            return str(known["url"]), False
    return (str(here), True) if (here / "tools" / "extras.sh").is_file() else ("", False)


def packages_missing(modules: Sequence[str], pins: Mapping[str, str], extra: str) -> Missing | None:
    """Return which package of an extra is missing or has another version; None if all are right. Imports none of them.

    Args:
        modules: modules that are imported.
        pins: package → required version; the first is named if a module is missing.
        extra: extra of pyproject.toml that contains them.
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
    """Return how to download model files. `name`: as in `avatar models`."""
    return f"Run `{as_service(f'avatar models fetch {name}')}` where avatard runs."


def how_to_repair() -> str:
    """Return how to repair the packages that every installation has."""
    return (
        "As root, in a checkout of avatard: `make install`." if is_service() else "Run the set-up again: `make setup`."
    )


def how_to_start() -> str:
    """Return how to start the daemon."""
    return "Start it with `systemctl start avatard`, as root." if is_service() else "Start it with `avatar run`."


def how_to_restore_folders() -> str:
    """Return how to create the folders of the installed service again, with owners and modes."""
    return "As root: `systemd-tmpfiles --create avatard.conf` creates it with its owner and mode."
