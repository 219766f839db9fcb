"""The Python door: `from daemon.client import Client`. docs/python.md shows how it is used."""

from __future__ import annotations

from daemon.doors.client.client import Client, Stats
from daemon.doors.client.job import Job
from daemon.doors.client.status import JobFailure, JobStatus, Output, Result
from daemon.doors.render import Progress, render
from daemon.errors import AvatarError, ConfigError, JobError

__all__ = [
    "AvatarError",
    "Client",
    "ConfigError",
    "Job",
    "JobError",
    "JobFailure",
    "JobStatus",
    "Output",
    "Progress",
    "Result",
    "Stats",
    "render",
]
