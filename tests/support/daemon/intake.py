"""A real intake on real folders, with its clock in the test's hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.intake.scanner import InboxScanner
from daemon.jobs.record import Job
from daemon.service import Service

SPEECH = "kind: speech\ntext: Hello.\n"
DETECT = "kind: detect\nimage: p.png\n"
SETTLE_S = 2.0
#: How long a room waits for files that are missing, by its own clock. s
COMPANION_WAIT_S = 100.0


class Room:
    """What a daemon has around its intake; nothing runs by itself. Make another one on the same folders to restart."""

    def __init__(self, root: Path, inbox: Path | None = None, **intake: Any) -> None:
        raw = {
            "paths": {name: name for name in ("outbox", "spool", "cache")} | {"inbox": str(inbox or root / "inbox")},
            "intake": {
                "companion_wait_s": COMPANION_WAIT_S,
                "settle_s": SETTLE_S,
                "settle_unknown_s": SETTLE_S,
                "settle_mb_s": 0,
                "empty_wait_s": 30.0,
                "scan_s": 30.0,
                "reserve_mb": 0,
                **intake,
            },
        }
        self.settings = Settings.parse(raw, root / "config.yaml")
        self.inbox, self.outbox = self.settings.paths.inbox, self.settings.paths.outbox
        self.service = Service(self.settings)
        self.service._make_folders()
        self.spool, self.admission = self.service.spool, self.service.admission
        self.now = 0.0
        self.admission.inbox = InboxScanner(self.inbox, self.settings, lambda: self.now)

    def look(self, after_s: float = 0.0) -> list[Job]:
        """One look at the inbox, `after_s` later; returns the jobs that were made."""
        self.now += after_s
        self.admission.resume()
        return [job for batch in self.admission.scan() for job in self.admission.take(batch)]

    def settle(self) -> list[Job]:
        """Look, wait as long as files must stand still, look again."""
        return [*self.look(), *self.look(SETTLE_S)]

    def settle_names(self) -> list[str]:
        """As `settle`; returns the names of the jobs."""
        return [job.name for job in self.settle()]

    def put(self, name: str, content: str | bytes = SPEECH) -> Path:
        """Write a file into the inbox, with the folders above it, and return its path."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def status(self, name: str) -> dict[str, Any]:
        """Return the status file of a result."""
        value: dict[str, Any] = json.loads((self.outbox / f"{name}.json").read_bytes())
        return value

    def copy_of(self, job: Job, name: str = "source.image") -> bytes:
        """Return what was kept of a file that a job names."""
        return (self.spool.folder_of(job) / name).read_bytes()
