"""Reads from the folders what the index should hold: the spool, and the status files of jobs whose record is gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from daemon.history.entry import Entry
from daemon.jobs.record import Job
from daemon.outbox.outbox import Outbox
from daemon.outbox.stored_status import owner_of, read_status
from daemon.queue.spool import Spool

#: A job may hop while it is looked for; so often it is looked for.
TRIES = 5


class JobFolders:
    """The truth about all jobs. A status file counts where no record is left, and where it belongs to the user of this process
    or to whom the outbox belongs: others may write there, too.
    """

    def __init__(self, spool: Spool, outbox: Outbox) -> None:
        self._spool = spool
        self._outbox = outbox

    def entries(self) -> Iterator[Entry | None]:
        """Yield every job, in no order; None for what was looked at and is none, so that the caller can rest between two.

        Raises:
            OSError: the disk cannot be read now.
        """
        for path in self._spool.waiting.glob("job-*.json"):
            yield self._waiting(path.stem)
        for folder in self._spool.folders()[3:]:
            for directory in self._spool.job_folders(folder):
                yield self._recorded(directory.name)
        owners = self._owners()
        for name in self._outbox.names():
            yield self._of_status(name, owners)

    def entry(self, job: str, name: str) -> Entry | None:
        """Return a job by its id, and the name of its results for when only its status is left; None where it is gone.

        Raises:
            OSError: the disk cannot be read now.
        """
        return self._recorded(job) or self._waiting(job) or self._of_status(name, self._owners(), job)

    def is_there(self, job: str, name: str) -> bool:
        """Return whether anything is left of a job."""
        if self._spool.find_job(job) is not None or (self._spool.waiting / f"{job}.json").exists():
            return True
        return owner_of(read_status(self._outbox.root, name, self._owners())) == job

    def _owners(self) -> set[int]:
        with contextlib.suppress(OSError):
            return {os.geteuid(), os.stat(self._outbox.root).st_uid}
        return {os.geteuid()}

    def _waiting(self, job: str) -> Entry | None:
        try:
            return Entry.of_job(Job.from_bytes((self._spool.waiting / f"{job}.json").read_bytes()))
        except (ValueError, FileNotFoundError):
            return None

    def _recorded(self, job: str) -> Entry | None:
        for _ in range(TRIES):
            place = self._spool.find_job(job)
            if place is None:
                return None
            with contextlib.suppress(ValueError, FileNotFoundError):  # it hopped, or its record is unreadable
                return Entry.of_job(self._spool.load_job(place))
        return None

    def _of_status(self, name: str, owners: set[int], job: str | None = None) -> Entry | None:
        status = read_status(self._outbox.root, name, owners)
        owner = owner_of(status)
        if status is None or owner is None or status.get("name") != name or owner != (job or owner):
            return None
        if self._spool.find_job(owner) is not None or (self._spool.waiting / f"{owner}.json").exists():
            return None
        return Entry.of_status(status)
