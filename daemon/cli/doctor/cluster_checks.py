"""What `avatar doctor` looks at of a Ray cluster; it starts no driver."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from daemon.cli.doctor.finding import Finding
from daemon.config import Settings
from daemon.system import installation

#: How long the head may take to accept a connection, in s.
TIMEOUT_S = 5.0


def check_cluster(settings: Settings) -> Iterator[Finding]:
    """Look whether Ray is installed, the token can be read, and the head of the cluster answers; nothing where none is used."""
    ray = settings.lanes.ray
    if not ray.is_used:
        return
    if importlib.util.find_spec("ray") is None:
        yield Finding("ray", "bad", "not installed", installation.how_to_install_extra("ray"))
        return
    host, _, port = ray.address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT_S).close()
        yield Finding("ray", "good", f"{ray.address} answers, for {ray.gpus} GPU and {ray.cpus} processor slots")
    except OSError as exc:
        remedy = "Run `ray status` there. Work goes on here, and there when it answers."
        yield Finding("ray", "bad", f"{ray.address}: {exc.strerror or exc}", remedy)
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not ray.allow_open and not os.environ.get("RAY_AUTH_TOKEN") and not os.access(token, os.R_OK):
        yield Finding("ray token", "bad", f"{token} cannot be read", "docs/scaling.md, step 3 of several machines.")
