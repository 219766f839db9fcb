"""The HTTP door as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT, wait_for
from tests.support.http_door import PATIENCE_S, Caller
from tests.support.machine.server_process import server_process

#: How docs/http.md says that gunicorn serves the door, but for where, and for its socket in the home folder.
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
    *(
        "-k",
        "daemon.doors.serving.gunicorn_worker.BoundedWorker",
        "daemon.doors.serving.served_app:create_served_app()",
    ),
]


def make_folders(root: Path) -> Path:
    """Make the folders of a server without a daemon in an empty folder, and return its configuration, which names them."""
    for name in ("inbox", "outbox", "spool"):
        (root / name).mkdir()
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool")},
        "intake": {"reserve_mb": 1},
        "server": {"user": str(os.geteuid())},
    }
    config = root / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    return config


class Server:
    """`avatar server start` in front of folders without a daemon.

    Args:
        root: an empty folder for its own.
        options: more of its command line.
        gunicorn: gunicorn serves the door in place of that command, and has the options.

    Attributes:
        inbox: the folder of the manifests.
        process: the server's, or that of the one that starts its workers.
        client: asks it.
    """

    def __init__(self, root: Path, *options: str, gunicorn: bool = False) -> None:
        self.inbox = root / "inbox"
        config = make_folders(root)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = (
            [*GUNICORN, "--bind", f"127.0.0.1:{port}"]
            if gunicorn
            else [sys.executable, "-m", "daemon.cli", "--config", str(config), "server", "start", "--port", str(port)]
        )
        with (root / "log").open("wb") as log:
            self.process = server_process(
                [*command, *options],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "AVATAR_CONFIG": str(config)},
            )
        self.client = Caller(port)
        try:
            wait_for("the server", self._listens)
        except BaseException:  # a fixture that fails ends nothing
            self.stop()
            raise

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.client.port)) == 0

    @property
    def memory(self) -> int:
        """The memory that it has now, in bytes."""
        return self._kib("VmRSS") * 1024

    @property
    def most_memory(self) -> int:
        """The most memory that it ever had, in bytes."""
        return self._kib("VmHWM") * 1024

    def _kib(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)
