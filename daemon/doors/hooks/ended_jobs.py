"""Finds the jobs that have ended since it last looked, from their records in the spool.

The records are the truth, are kept for weeks (`retention.done_days`), and are only read here: the daemon does not know that
somebody looks, and whatever ended while nobody did is found later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog

from daemon.config import Settings
from daemon.doors.hooks.message import message_of, receivers
from daemon.doors.hooks.store import Store
from daemon.jobs.record import JOB_ID
from daemon.queue.spool import Spool

log = structlog.get_logger("hooks")

#: Folders of the spool in which ended jobs lie.
_ENDED: Final = ("done", "failed")
#: A folder may change within the resolution of its time; so long after a change it is looked at again, in ns.
_GRAIN_NS: Final = 2 * 10**9
#: Most ends that one look notes, so that what is due is not kept waiting by thousands of them.
_AT_ONCE: Final = 200
#: Ends are forgotten when the job is gone, not before this age in s: the spool may only be away for a moment.
_FORGET_S: Final = 86_400.0


class EndedJobs:
    """Notes the ends of jobs in the store, each once, with what is to be delivered for it.

    Args:
        settings: replaced as a whole when the configuration is read again.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self._store = store
        self._spool = Spool(settings.paths.spool)
        self._since = store.since()
        self._seen = store.seen()
        self._looked: dict[str, int] = {}
        #: Whether all jobs that had ended before were seen.
        self._is_whole = False
        #: Records of which nobody is told, as they cannot be read, which is said once: job → time of its folder's change.
        self._without_end: dict[str, int] = {}

    def look(self) -> bool:
        """Note what has ended, as far as `_AT_ONCE` goes. Returns whether there may be more.

        Raises:
            OSError: the spool cannot be read now.
            AvatarError: `hooks-unavailable`.
        """
        if self._is_whole and self._since > time.time():
            self._store.mend_since(time.time())
            self._since = self._store.since()
        more = False
        fault: OSError | None = None
        for name in _ENDED:
            changed = self._changed(name)
            if changed is None or changed == self._looked.get(name):
                continue
            folder = self._spool.root / name
            new = sorted(
                (at, job)
                for job, at in _folders(folder)
                if self._seen.get(job) != at and self._without_end.get(job) != at
            )
            for at, job in new[:_AT_ONCE]:
                try:
                    self._note(folder / job, at)
                except OSError as exc:  # what hinders one, such as a bad sector, need not hinder the others
                    fault = exc
            if fault is not None:
                continue
            if len(new) > _AT_ONCE:
                more = True
            elif time.time_ns() - changed > _GRAIN_NS:
                self._looked[name] = changed
        if fault is not None:
            raise fault
        if not (more or self._is_whole):
            self._store.note_whole()
            self._is_whole = True
        return more

    def forget_gone(self) -> None:
        """Forget the ends of jobs whose records the retention has removed.

        Raises:
            OSError, AvatarError: as `look`.
        """
        there = {job for name in _ENDED for job, _ in _folders(self._spool.root / name)}
        gone = [job for job in self._seen if job not in there and not self._is_elsewhere(job)]
        self._store.forget(gone, time.time() - _FORGET_S)
        self._seen = self._store.seen()

    def _is_elsewhere(self, job: str) -> bool:
        """Return whether a job was started again."""
        return self._spool.find_job(job) is not None

    def _changed(self, name: str) -> int | None:
        """Return the time of a folder's last change: each end is a rename into it. None where no daemon has run yet."""
        try:
            return (self._spool.root / name).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _note(self, path: Path, changed: int) -> None:
        try:
            ended, wanted = self._told(path)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as exc:  # the record is damaged
            if path.exists():  # else it was started again, or removed
                self._without_end[path.name] = changed
                log.warning("record not readable, nobody is told", job_id=path.name, error=str(exc))
            return
        if ended is None:
            self._without_end[path.name] = changed
            return
        self._store.note_end(path.name, round(ended * 1000), changed, wanted)
        self._seen[path.name] = changed

    def _told(self, path: Path) -> tuple[float | None, list[dict[str, Any]]]:
        """Return when a job ended, None if it has not, and what is to be delivered for it."""
        job = self._spool.load_job(path)
        message = message_of(job, self.settings.paths.outbox)
        if message is None:
            return None, []
        if message.at < self._since:
            return message.at, []
        common = {
            "id": message.id,
            "type": message.type,
            "job": job.id,
            "name": _storable(job.name),
            "job_state": job.state,
            "output": _storable(message.values()["output"]),
        }
        told = receivers(message, job.manifest.get("notify"), self.settings.hooks, was_accepted=job.was_accepted)
        return message.at, [{**common, "hook": hook, "url": url, "body": body} for hook, url, body in told]


def _storable(text: str) -> str:
    """Return a text of valid Unicode: names of files need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def _folders(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the names of the folders of jobs, each with the time of its last change in ns.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if JOB_ID.fullmatch(entry.name):
                try:
                    yield entry.name, entry.stat(follow_symlinks=False).st_mtime_ns
                except FileNotFoundError:  # it was started again, or removed
                    continue
