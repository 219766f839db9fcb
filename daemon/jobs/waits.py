"""Reads from a job's history whether it waits for the rest of a file."""

from __future__ import annotations

from typing import Final

from daemon.jobs.record import EventData, Job

#: Event in a job's history: the rest of a file is waited for.
AWAITED: Final = "waited for the rest of a file"
#: Events that people cause while a job waits. They end no wait.
_BY_PEOPLE = frozenset({"held", "released", "priority"})


def wait_of(job: Job) -> EventData:
    """Return the entry of the job's history that began its present wait for the rest of a file; empty if it does not wait."""
    last = next((entry for entry in reversed(job.history) if entry["event"] not in _BY_PEOPLE), None)
    return last if last is not None and last["event"] == AWAITED else {}
