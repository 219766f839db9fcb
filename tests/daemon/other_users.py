"""A daemon, a person and an attacker with user ids of their own, on folders that all of them reach."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

#: Ids that belong to nobody: of the group that may drop, and of its members.
GROUP, DAEMON, PERSON, STRANGER = 54300, 54301, 54302, 54303


def unavailable() -> str | None:
    """Why there are no other users here; None where there are."""
    if os.geteuid() != 0:
        return "only root can become other users"
    return None if python() else f"no Python {sys.version_info[0]}.{sys.version_info[1]} that other users may run"


def python() -> str | None:
    """A Python that other users may run. Where the one of the tests lies in a closed home, the system's of the same version."""
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not reachable(ROOT):
        return None
    return next((path for path in (sys.executable, system) if os.path.exists(path) and reachable(Path(path))), None)


def reachable(path: Path) -> bool:
    """Whether everybody may come to a file, and to what its links lead to."""
    places = [place for start in (path.absolute(), path.resolve()) for place in (start, *start.parents)]
    return all(stat.S_IMODE(place.stat().st_mode) & 0o001 for place in places)


def environment() -> dict[str, str]:
    """So that the system's Python finds what is installed for the tests."""
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    return {**os.environ, "PYTHONPATH": path, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


def as_user(uid: int) -> dict[str, Any]:
    """For `subprocess`: run as this user, in the drop group."""
    return {"user": uid, "group": GROUP, "extra_groups": [], "env": environment(), "umask": 0o007}


def start(uid: int, *command: str, **options: Any) -> subprocess.Popen[str]:
    """Start the tests' Python as another user, with its streams as pipes of text."""
    program = python()
    assert program is not None
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, **options}
    process: subprocess.Popen[str] = subprocess.Popen([program, *command], **as_user(uid), **pipes)
    return process
