"""A real nginx in front of a server of this machine, at a path of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PATIENCE_S, wait_for
from tests.support.http_door import Caller
from tests.support.machine.debs import unpacked
from tests.support.machine.server_process import server_process

#: Where it shows the server.
PLACE = "/studio/avatars"
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
    return folder / "usr/sbin/nginx" if folder is not None else None


@contextlib.contextmanager
def behind_nginx(folder: Path, target: int, key: str = "") -> Iterator[Caller]:
    """Run it in front of a port; yields a client of its port, whose paths begin with `PLACE`."""
    program = nginx()
    assert program is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, target=target, place=PLACE, user=user))
    process = server_process([program, "-p", folder, "-e", folder / "error.log", "-c", config])

    def listens() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for("nginx to listen", listens)
        yield Caller(port, key)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
