"""A server of the HTTP door, with or without keys, in front of folders that no daemon looks at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys, Limits, Role
from daemon.doors.http.app import create_app
from tests.support.http_door import Caller, serving
from tests.support.http_server import Server


@dataclass
class Door:
    """A served door.

    Attributes:
        root: its folder, with inbox, outbox and spool.
        open: a client without a key.
    """

    root: Path
    settings: Settings
    open: Caller

    @property
    def inbox(self) -> Path:
        return self.settings.paths.inbox

    def key(self, name: str, role: Role = "submit", **limits: object) -> Caller:
        """A client with a new key."""
        return self.open.with_key(ApiKeys(self.settings.server.keys).add(name, role, limits=Limits(**limits))[1])  # type: ignore[arg-type]

    @property
    def manifests(self) -> list[str]:
        """The manifests that were handed in."""
        return sorted(path.name for path in self.inbox.glob("*.yaml"))

    @property
    def left_over(self) -> list[str]:
        """What unfinished requests left behind."""
        folder = self.inbox / ".http"
        return [] if not folder.is_dir() else [path.name for path in folder.iterdir() if path.name.startswith("new-")]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A door on this machine alone, which asks for no key until there is one."""
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool")},
        "intake": {"reserve_mb": 1, "max_file_bytes": 3 * 2**20},
        "server": {
            "user": str(os.geteuid()),
            "hosts": ["studio.example"],
            "max_upload_bytes": 4 * 2**20,
            "max_uploads": 2,
        },
    }
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    for folder in (settings.paths.inbox, settings.paths.outbox, settings.paths.spool):
        folder.mkdir()
    with serving(create_app(settings)) as client:
        yield Door(tmp_path, settings, client)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A door in a process of its own, which asks for no key."""
    one = Server(tmp_path)
    try:
        yield one
    finally:
        one.stop()
