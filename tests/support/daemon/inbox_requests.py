"""A look at an inbox that holds requests, such as `hello.cancel`, and what became of a job."""

from __future__ import annotations

import asyncio
import json

from daemon.jobs.record import Job
from tests.support.daemon.intake import Room

#: How long a manifest waits for its files, and a request for its manifest.
PATIENCE_S = 100.0


def look(room: Room, after_s: float = 0.0) -> list[Job]:
    """A look at the inbox as the daemon makes it: first the drops, then the requests."""
    jobs = room.look(after_s)
    asyncio.run(room.service.loops.inbox_requests.answer_all())
    return jobs


def state(room: Room, name: str) -> str | None:
    """Return the state of a job as its status file tells it; None without one."""
    path = room.outbox / f"{name}.json"
    return str(json.loads(path.read_bytes())["state"]) if path.exists() else None
