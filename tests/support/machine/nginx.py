"""A real nginx in front of a server of this machine, at a path of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PATIENCE_S, wait_for
from tests.support.endurance import FULL
from tests.support.http_door import Caller
from tests.support.machine.debs import unpacked
from tests.support.machine.server_process import server_process

#: Where it shows the server.
PLACE = "/studio/avatars"
#: How many ports are tried: between the choice of one and nginx's start somebody else may take it.
PORTS = 5
#: The lines on the server are those of docs/http.md.
CONFIG = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/other;
  uwsgi_temp_path {folder}/other;
  scgi_temp_path {folder}/other;
  server {{
    listen 127.0.0.1:{port};
    location {place}/ {{
      proxy_pass http://127.0.0.1:{target}/;
      client_max_body_size 1g;
      proxy_request_buffering off;
    }}
  }}
}}
"""


@functools.cache
def nginx() -> Path | None:
    """Return the program; None where it is not installed and cannot be fetched."""
    if (found := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")) is not None:
        return Path(found)
    folder = unpacked("nginx", "nginx-common")
    assert folder is not None or not FULL, "nginx cannot be had, and what CI runs must not leave it out"
    return folder / "usr/sbin/nginx" if folder is not None else None


class Nginx:
    """One nginx in front of a server, which can be stopped and started again at the same port.

    Args:
        folder: a new folder for its files.
        target: the server's port.
    """

    def __init__(self, folder: Path, target: int) -> None:
        folder.mkdir()
        self._folder, self._target = folder, target
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        for _ in range(PORTS):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = int(free.getsockname()[1])
            if self._began():
                return
        raise AssertionError((folder / "error.log").read_text())

    def start(self) -> None:
        """Start it again."""
        assert self._began(), (self._folder / "error.log").read_text()

    def stop(self) -> None:
        """Stop it, which cuts every connection."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def _began(self) -> bool:
        """Start it; returns whether it got its port, which somebody else may have taken. It writes its number when it has."""
        program, config, number = nginx(), self._folder / "nginx.conf", self._folder / "pid"
        assert program is not None
        user = "user root;" if os.geteuid() == 0 else ""
        told = {"folder": self._folder, "port": self.port, "target": self._target, "place": PLACE, "user": user}
        config.write_text(CONFIG.format(**told))
        number.unlink(missing_ok=True)
        command: list[str | Path] = [program, "-p", self._folder, "-e", self._folder / "error.log", "-c", config]
        process = self._process = server_process(command)
        wait_for("nginx to listen", lambda: process.poll() is not None or (number.exists() and number.read_text()))
        return process.poll() is None


@contextlib.contextmanager
def behind_nginx(folder: Path, target: int, key: str = "") -> Iterator[Caller]:
    """Run it in front of a port; yields a client of its port, whose paths begin with `PLACE`."""
    one = Nginx(folder, target)
    try:
        yield Caller(one.port, key)
    finally:
        one.stop()
