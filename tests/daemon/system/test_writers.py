"""With CAP_LEASE, as the installed service has it, the kernel tells who writes the files of other users."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import other_users
from tests.support.machine.other_users import DAEMON, GROUP, PERSON

pytestmark = pytest.mark.usefixtures("processes")

#: Says what is known of a file's writers, and what a program that is started afterwards may do.
ASK = """
import os, subprocess, sys
from daemon.system.process import keep_capabilities
from daemon.system.writers import is_written
keep_capabilities()
fd = os.open(sys.argv[1], os.O_RDONLY)
status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
inherited = next(line.split()[1] for line in status.splitlines() if line.startswith("CapPrm:"))
print(is_written(fd), int(inherited, 16))
"""


def ask(path: Path, capabilities: str) -> str:
    """Run `ASK` as the daemon's user with these capabilities and no other."""
    python = other_users.python()
    assert python is not None
    sets = [f"--{name}=-all{capabilities}" for name in ("bounding-set", "inh-caps", "ambient-caps")]
    command = [
        "setpriv",
        f"--reuid={DAEMON}",
        f"--regid={GROUP}",
        "--clear-groups",
        *sets,
        python,
        "-c",
        ASK,
        str(path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=other_users.environment(), cwd="/", check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(bool(why := other_users.unavailable()), reason=str(why))
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_the_kernel_tells_who_writes_a_file_of_another_user(shared_folder: Path) -> None:
    # Given another user's file that the daemon may read
    path = shared_folder / "portrait.png"
    path.write_bytes(b"half")
    path.chmod(0o644)
    shutil.chown(path, PERSON, GROUP)
    assert ask(path, "") == "None 0"
    # When nobody writes it, and when somebody has it open / Then that is known, and programs inherit no capability
    assert ask(path, ",+lease") == "False 0"
    with path.open("ab"):
        assert ask(path, ",+lease") == "True 0"


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that all users reach; those of pytest are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
