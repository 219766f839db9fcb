"""Finds and lists the jobs that a caller may see: those of the index, of the outbox, and those that no daemon has seen yet."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from daemon.config import Settings
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs.inbox_defaults import InboxDefaults
from daemon.doors.http.jobs.unseen_records import UnseenRecords, no_link
from daemon.doors.http.problems import RequestError
from daemon.errors import AvatarError
from daemon.history.database import HistoryError
from daemon.history.folding import fold
from daemon.history.history import History
from daemon.history.places import FIRST_UNSEEN, LAST, place_of_unseen
from daemon.history.query import STATES, Query, Row
from daemon.jobs.hand_in_record import MAX_BYTES, HandInRecord, record_name
from daemon.jobs.iso_time import iso
from daemon.jobs.record import FINISHED, JOB_ID
from daemon.outbox import looks
from daemon.outbox.checked_status import checked
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system.mount_guard import check_readable
from daemon.system.permissions import user_name

#: Names of results that are remembered by the ids of their jobs.
MOST_NAMES: Final = 10_000
#: What follows for a job that the daemon has not seen.
HANDED_IN: Final = "It is taken in when the daemon has seen it."
#: The same for one whose end was asked for before the daemon looked.
CANCEL_ASKED: Final = "It is cancelled when the daemon has seen that this was asked for."
#: Counts of jobs before the first daemon has made the index.
NO_COUNTS: Final[Mapping[str, Any]] = {
    "jobs": 0, "states": {}, "kinds": {}, "owners": {}, "errors": {}, "audio_s": 0.0, "work_s": 0.0, "oldest": None,
}  # fmt: skip


class FoundJobs:
    """The jobs of one installation, to look at.

    Args:
        settings: the daemon's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.outbox = Outbox(self.paths.outbox)
        self.spool = Spool(self.paths.spool)
        self.history = History(self.paths.history)
        self.defaults = InboxDefaults(settings)
        self._names: dict[str, str] = {}
        self._records = UnseenRecords(self.paths.inbox)

    def remember(self, job: str, name: str) -> None:
        """Remember what the results of a job are called, so that whoever asks again need not be answered by the index."""
        if len(self._names) >= MOST_NAMES:
            self._names.clear()
        self._names[job] = name

    def status(self, job: str, caller: Caller) -> dict[str, Any]:
        """Return the status of a job by its id.

        Raises:
            RequestError: `job-unknown`: there is none, or it is somebody else's.
            MachineError, OSError: as `check_folders`, where it may be there nevertheless.
        """
        if not JOB_ID.fullmatch(job):
            raise _unknown(job)
        found = self._by_name(job) or self._by_index(job) or self._by_record(job) or self._by_outbox(job)
        if found is None:
            self.check_folders()
        if found is None or not caller.owns(found.get("by")):
            raise _unknown(job)
        if self._names.get(job) != found["name"]:
            self.remember(job, found["name"])
        if found["state"] not in FINISHED and self._cancel_asked(found):
            found = {**found, "next": CANCEL_ASKED}
        return found

    def id_of(self, wanted: str, caller: Caller) -> str:
        """Return the id of the caller's latest job whose results have a name; what names none stays as it is, as an id does."""
        if JOB_ID.fullmatch(wanted):
            return wanted
        unseen = next((one["job"] for one in self.not_seen(caller) if one["name"] == wanted), None)
        if unseen is not None:
            return str(unseen)
        with contextlib.suppress(HistoryError):
            if (row := self.history.get(wanted, by="" if caller.sees_all else caller.name)) is not None:
                return row.job
        return wanted

    def check_folders(self) -> None:
        """Check that inbox and outbox can be read, before a job is said not to be there.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
            OSError: one of them cannot be read.
        """
        check_readable(self.paths.inbox, self.paths.spool, "inbox")
        check_readable(self.paths.outbox, self.paths.spool, "outbox")

    def _cancel_asked(self, status: Mapping[str, Any]) -> bool:
        """Return whether somebody asked for a job's end and the daemon, which may be down, has not looked at that yet."""
        with contextlib.suppress(OSError):
            if (self.paths.inbox / f"{status['name']}.cancel").exists():
                return True
            with os.scandir(self.spool.control) as entries:
                asked = [entry.name for entry in entries if entry.name.endswith(".json") and entry.name[:1] != "."]
            for name in asked:
                with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
                    with open(self.spool.control / name, "rb", opener=no_link) as file:
                        request = json.loads(file.read(MAX_BYTES))
                    named = request.get("job") == status["job"] or (
                        status.get("source") is not None and request.get("manifest") == status["source"]
                    )
                    if request.get("op") == "cancel" and named:
                        return True
        return False

    def find(
        self, query: Query, caller: Caller, *, limit: int, after: int | None, order: str = ""
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return jobs, and where the next page begins; None on the last.

        Args:
            after: where the page begins; None: with the first job.
            order: one of `daemon.history.sorted_rows.ORDERS`; empty: the newest first.

        Raises:
            RequestError: `query-invalid`.
            HistoryError: there is no index yet.
        """
        if wrong := query.unknown_word():
            raise RequestError("query-invalid", *wrong)
        if order:
            return self._sorted(query, caller, order, limit, after)
        unseen: list[dict[str, Any]] = []
        if after is None or after >= FIRST_UNSEEN:
            unseen = [*itertools.islice(self._unseen(query, caller, after), limit + 1)]
            if len(unseen) > limit:
                return unseen[:limit], place_of_unseen(unseen[limit - 1]["job"])
            after = None
        room = limit - len(unseen)
        rows = self._indexed(lambda: self.history.find(query, limit=room + 1, after=after))
        known = {row.job for row in rows}
        page = [one for one in unseen if one["job"] not in known] + [row.to_json() for row in rows[:room]]
        if len(rows) <= room:
            return page, None
        return page, rows[room - 1].cursor if room else rows[0].cursor + 1  # what follows has smaller ones

    def _sorted(
        self, query: Query, caller: Caller, order: str, limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """As `find` in an order. Jobs that no daemon has seen come last: nobody knows yet what they would be sorted by."""
        rows: list[Row] = []
        if after is None or after < FIRST_UNSEEN:
            skip = after or 0
            rows = self._indexed(lambda: self.history.find_sorted(query, order, limit=limit + 1, skip=skip))
            if len(rows) > limit:
                return [row.to_json() for row in rows[:limit]], skip + limit
            after = None
        known = {row.job for row in rows}
        unseen = (one for one in self._unseen(query, caller, after) if one["job"] not in known)
        room = limit - len(rows)
        found = [*itertools.islice(unseen, room + 1)]
        page = [row.to_json() for row in rows] + found[:room]
        if len(found) <= room:
            return page, None
        return page, place_of_unseen(found[room - 1]["job"]) if room else LAST

    def _indexed(self, find: Callable[[], list[Row]]) -> list[Row]:
        """Return what the index finds; nothing before the first daemon has made it.

        Raises:
            HistoryError: it cannot be read.
        """
        try:
            return find()
        except HistoryError:
            if (self.paths.history / "jobs.db").exists():
                raise
            return []

    def _unseen(self, query: Query, caller: Caller, after: int | None) -> Iterator[dict[str, Any]]:
        """Yield the statuses of jobs that are asked for and that no daemon has seen, the newest first. Of these nobody knows more
        than the name, the file, the kind and who handed them in.

        Args:
            after: only those with smaller places; None: all.
        """
        if query.tag or query.since is not None or "waiting" not in (query.states or STATES):
            return
        hides_looks = looks.TAG in query.without_tag
        for one in self.not_seen(caller):
            if after is not None and place_of_unseen(one["job"]) >= after:
                continue
            if hides_looks and one["name"].startswith(looks.PREFIX):
                continue
            if query.kind and one.get("kind") not in query.kind:
                continue
            if query.by and (one["by"] or user_name(os.geteuid())) not in query.by:
                continue
            name, file = fold(one["name"]), fold(one["source"])
            if all(
                column != "words" and (word in name or (column is None and word in file))
                for column, word in query.words
            ):
                yield one

    def manifest(self, job: str) -> dict[str, Any]:
        """Return the manifest of a job that may be seen; empty where this process may not read the spool, or it is gone."""
        with contextlib.suppress(OSError, ValueError, AvatarError):
            if JOB_ID.fullmatch(job) and (place := self.spool.find_job(job)) is not None:
                return dict(self.spool.load_job(place).manifest)
        return {}

    def full(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the status of a job of a list, with what only its status file says."""
        status = checked(row["name"], self.outbox.read_status(row["name"])) if row["job"] else None
        return status if status is not None and status["job"] == row["job"] else dict(row)

    def stats(self, by: str = "") -> dict[str, Any]:
        """Return counts of jobs, as `daemon.history.history.History.stats` does. `by`: of one owner alone; empty: of all.

        Raises:
            HistoryError: the index cannot be read.
        """
        try:
            counts: Mapping[str, Any] = self.history.stats(by=by)
        except HistoryError:
            if (self.paths.history / "jobs.db").exists():
                raise
            counts = NO_COUNTS
        return {**counts, "oldest": iso(counts["oldest"]) if counts["oldest"] is not None else None}

    def _by_name(self, job: str) -> dict[str, Any] | None:
        """Return the status under the name that a job had before; None where that is another's, or there is none yet."""
        name = self._names.get(job)
        status = None if name is None else checked(name, self.outbox.read_status(name))
        return status if status is not None and status["job"] == job else None

    def _by_index(self, job: str) -> dict[str, Any] | None:
        try:
            row = self.history.get(job)
        except HistoryError:
            return None
        return None if row is None else self.full(row.to_json())

    def _by_record(self, job: str) -> dict[str, Any] | None:
        """Return the status of a job that the daemon has not seen."""
        record = self._records.find(record_name(job))
        return None if record is None else _status_of(record)

    def not_seen(self, caller: Caller) -> Iterator[dict[str, Any]]:
        """Yield the statuses of jobs of a caller that were handed in and that no daemon has seen, the newest first."""
        for record in self._records.all():
            if caller.owns(record.by):
                yield _status_of(record)

    def _by_outbox(self, job: str) -> dict[str, Any] | None:
        name = self.outbox.name_of(job)
        status = None if name is None else checked(name, self.outbox.read_status(name))
        return status if status is not None and status["job"] == job else None


def _status_of(record: HandInRecord) -> dict[str, Any]:
    return waiting_status(record.job, record.manifest, record.by, record.kind)


def waiting_status(job: str, manifest: str, by: str, kind: str) -> dict[str, Any]:
    """Return the status of a job that the daemon has not seen.

    Args:
        manifest: its name in the inbox.
        by: who handed it in; empty: the user of this process.
        kind: of the job; empty where it is not known yet.
    """
    told = {"kind": kind} if kind else {}
    return {
        **told,
        "job": job,
        "name": manifest.removesuffix(".yaml"),
        "state": "waiting",
        "stage": None,
        "progress": 0.0,
        "eta_s": None,
        "queue_position": None,
        "source": manifest,
        "by": by or None,
        "accepted": None,
        "next": HANDED_IN,
    }


def _unknown(job: str) -> RequestError:
    hint = "The list of jobs shows those there are."
    if not JOB_ID.fullmatch(job):
        hint += " A job is asked for by its `job_id`, such as job-20260102T030405Z-0a1b2c3d, not by its name."
    return RequestError("job-unknown", f"There is no job {job[:80]}.", hint)
