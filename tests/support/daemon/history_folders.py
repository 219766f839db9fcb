"""A spool and an outbox without a daemon, with the jobs that an index of them is to know."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from daemon.history.database import HistoryError, reading
from daemon.history.folders import JobFolders
from daemon.history.history import History
from daemon.history.query import Query
from daemon.history.renewal import disagreements
from daemon.jobs.record import Job
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.queue.spool import Spool
from daemon.system.json_files import dump_json, dump_lines


def make_job(number: int, **data: object) -> Job:
    """A finished job, if nothing else is said."""
    known = {
        "id": f"job-20260102T030405Z-{number:08x}",
        "name": f"job{number}",
        "source": f"job{number}.yaml",
        "state": "done",
        "stages": ("tts", "deliver"),
        "accepted": 1_767_323_045.0 + number,
        "finished": 1_767_323_099.0,
        "manifest": {"kind": "speech", "text": "Hello."},
    }
    return Job(**{**known, **data})  # type: ignore[arg-type]


class Folders:
    """A spool and an outbox without a daemon."""

    def __init__(self, root: Path) -> None:
        self.spool, self.outbox = Spool(root / "spool"), Outbox(root / "outbox")
        self.spool.create()
        self.outbox.root.mkdir()
        self.history = root / "spool" / "history"
        self.truth = JobFolders(self.spool, self.outbox)

    def keep(self, job: Job, *, record: bool = True) -> Job:
        """Put a job where the daemon would have left it, with or without its record."""
        if record:
            place = self.spool.folder_of(job)
            place.mkdir()
            (place / "job.json").write_bytes(dump_lines(job.to_json()))
        (self.outbox.root / f"{job.name}.json").write_bytes(dump_json(status_of(job)))
        return job


def found(folder: Path, **asked: object) -> list[str]:
    """Return the names of the jobs that the index finds."""
    return [row.name for row in History(folder).find(Query(**asked))]  # type: ignore[arg-type]


def agrees(folder: Path, truth: JobFolders) -> bool:
    """Return whether the index can be used and says what the folders say."""
    try:
        with reading(folder):  # complete
            return not disagreements(folder, truth)
    except HistoryError:
        return False


def make_newer(path: Path) -> None:
    """Make an index one of a later release."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


async def until(what: Callable[[], bool]) -> None:
    """Wait until something is so; looks in a thread, as whoever reads the index waits for what the loop has yet to write."""
    while not await asyncio.to_thread(what):
        await asyncio.sleep(0.01)
