"""A machine with a real systemd as its first process: systemd-nspawn on a copy-on-write view of this machine's own root.

What is written there goes to a tmpfs and is gone afterwards. Where systemd-nspawn is not installed, its package is fetched from
Debian and unpacked into a cache; nothing is installed on the machine that runs the tests.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.machine.debs import unpacked
from tests.support.machine.server_process import server_process

ROOT = Path(__file__).resolve().parents[3]
SYSTEMD = Path("/lib/systemd/systemd")
SOURCE = "/usr/src/avatard"  # where the machine sees this repository
BOOT_S, COMMAND_S = 600, 900  # only end what hangs
#: The folder of a machine is called so, with the pid of the tests that made it.
_PREFIX = "avatard-machine-"


@functools.cache
def unavailable() -> str | None:
    """Return why no such machine can be had here; None when it can."""
    if os.geteuid() != 0:
        return "booting a systemd in a container wants root"
    if not SYSTEMD.exists() or not shutil.which("nsenter"):
        return "this machine has no systemd to boot (Debian: apt-get install systemd)"
    if not shutil.which("/usr/bin/python3"):
        return "this machine has no Python of its own to install with"
    if (found := nspawn()) is None:
        return "systemd-nspawn is not installed and could not be fetched (Debian: apt-get install systemd-container)"
    probe = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return f"mounting is not allowed here, so {found[0]} cannot run" if probe.returncode else None


@functools.cache
def nspawn() -> tuple[str, dict[str, str]] | None:
    """systemd-nspawn and the environment it wants."""
    if (path := shutil.which("systemd-nspawn")) is not None:
        return path, {}
    folder = unpacked("systemd-container", "libsystemd-shared")
    if folder is None:
        return None
    libraries = [str(path.parent) for path in folder.rglob("libsystemd-shared-*.so")]
    return f"{folder}/usr/bin/systemd-nspawn", {"LD_LIBRARY_PATH": ":".join(libraries)}


class Machine:
    """Boots at once; `close` takes everything away again."""

    def __init__(self) -> None:
        remove_abandoned()
        self._base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "none", self._base], check=True)
        for name in ("upper", "work", "root"):
            (self._base / name).mkdir()
        self.root = self._base / "root"
        layers = f"lowerdir=/,upperdir={self._base}/upper,workdir={self._base}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        self._console = (self._base / "console").open("wb")
        found = nspawn()
        assert found is not None
        self._process = server_process(
            [
                found[0],
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                "--private-network",
                "--console=pipe",
                f"--machine=avatard{os.getpid()}",
                f"--directory={self.root}",
                f"--bind-ro={ROOT}:{SOURCE}",
                "systemd.unit=basic.target",  # none of the services that this machine itself runs: one may wait for a minute
                "systemd.mask=apt-daily.timer",
                "systemd.mask=apt-daily-upgrade.timer",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
            env={**os.environ, **found[1]},
        )
        self.pid = self._first_process()
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _first_process(self) -> int:
        """Return the pid, seen from here, of the machine's systemd."""
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for pid in _descendants(self._process.pid):
                with_1 = [line for line in _status(pid) if line.startswith("NSpid:") and line.split()[-1] == "1"]
                if with_1 and "systemd\n" in _status(pid)[0] and (self.root / "run").exists():
                    probe = ["nsenter", "-t", str(pid), "-m", "-p", "test", "-S", "/run/systemd/private"]
                    if subprocess.run(probe, check=False).returncode == 0:
                        return pid
            time.sleep(0.1)
        raise RuntimeError("the machine does not boot: " + (self._base / "console").read_text(errors="replace")[-2000:])

    def run(
        self, *command: str, check: bool = True, network: bool = False, user: str | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine. `network`: with this machine's network, for its package manager's client."""
        result = subprocess.run(
            self._inside(command, network, user),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
            input=stdin,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result

    def start(self, *command: str, user: str | None = None) -> subprocess.Popen[bytes]:
        """Start a command in the machine."""
        return subprocess.Popen(self._inside(command, False, user))

    def _inside(self, command: Sequence[str], network: bool, user: str | None) -> list[str]:
        spaces = ["-m", "-u", "-i", "-p", *([] if network else ["-n"])]
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        return ["nsenter", "-t", str(self.pid), *spaces, *as_user, *command]

    def property(self, name: str, unit: str = "avatard.service") -> str:
        """Return one property of a unit, as systemd has it at this moment."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def path(self, inside: str) -> Path:
        """A file of the machine, seen from here."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def close(self) -> None:
        """Shut the machine down, and remove its filesystem."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # nspawn asks its systemd to power off
            try:
                self._process.wait(BOOT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._console.close()
        _remove(self._base)


def remove_abandoned() -> None:
    """Remove the file systems of machines whose process of tests was killed: each holds memory as long as it is mounted."""
    for base in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = base.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            _remove(base)


def _remove(base: Path) -> None:
    for place in (base / "root", base):
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)
    shutil.rmtree(base, ignore_errors=True)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _status(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/status").read_text().splitlines(keepends=True)
    except OSError:
        return [""]
