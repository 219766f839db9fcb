"""A daemon, a person and an attacker with user ids of their own, on folders that all of them reach."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, Installation
from tests.support.daemon.ledger import sound

#: Ids that belong to nobody: of the group that may drop, and of its members.
GROUP, DAEMON, PERSON, STRANGER = 54300, 54301, 54302, 54303
#: In a file outside the inbox that only the daemon may touch.
CANARY = "nobody may read, write or move this"


def unavailable() -> str | None:
    """Return why there are no other users here; None where there are."""
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
    """Return whether everybody may come to a file, and to what its links lead to."""
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


class Shared(Installation):
    """An installation whose daemon is a user of its own, in folders that the drop group shares."""

    def __init__(self, root: Path, *, sticky: bool) -> None:
        root.chmod(0o755)
        super().__init__(root, intake={"scan_s": 0.5, "companion_wait_s": 1.0})
        self.config.chmod(0o644)
        self.inbox.chmod(0o3770 if sticky else 0o2770)
        self.outbox.chmod(0o2770)
        self.outside = root / "outside"
        for folder in (self.spool, self.outside):
            folder.mkdir(mode=0o700)
        (self.outside / "canary").write_text(CANARY)
        (self.outside / "canary.yaml").write_text("kind: speech\naudio: canary\n")
        for path in (self.inbox, self.outbox, self.spool, self.outside, *self.outside.iterdir()):
            os.chown(path, DAEMON, GROUP)
        for folder, mode in ((self.inbox, 0o3770 if sticky else 0o2770), (self.outbox, 0o2770)):
            folder.chmod(mode)  # a change of the owner takes the bits away
        self.python = python() or ""
        self.user = as_user(DAEMON)
        self.log.touch()
        os.chown(self.log, DAEMON, GROUP)

    def hand_in(self, name: str) -> None:
        """Drop a job as another member of the group."""
        script = f"""
import pathlib
inbox = pathlib.Path({str(self.inbox)!r})
(inbox / "{name}.wav").write_bytes({sound(0.4)!r})
(inbox / "{name}.yaml").write_text("kind: speech\\naudio: {name}.wav\\n")
"""
        with start(PERSON, "-c", script) as process:
            assert process.wait() == 0
