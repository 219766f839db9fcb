"""Finds, lists, hands in and changes jobs for the routes, each caller's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.doors.hand_in import HandedIn, Wording, check, check_name, hand_in
from daemon.doors.http.body import older_keys
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import ROWS, batch_refused
from daemon.doors.http.limits import (
    Amount,
    JobLedger,
    check_amounts,
    check_manifest,
    check_priority,
    job_ledger,
    speech_s,
)
from daemon.doors.http.problems import RequestError
from daemon.doors.requests import ask
from daemon.doors.shared_files import usual_names
from daemon.errors import AvatarError
from daemon.history.database import HistoryError
from daemon.history.history import History
from daemon.history.query import STATE_WORDS, STATES, Query, Row
from daemon.intake.folder_defaults import read_defaults
from daemon.jobs.hand_in_record import MAX_BYTES, HandInRecord, job_of, record_name
from daemon.jobs.iso_time import iso
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.record import FINISHED, JOB_ID
from daemon.jobs.speech_length import check_text_length
from daemon.outbox.checked_status import checked
from daemon.outbox.outbox import Outbox
from daemon.queue.lock import lock_holder
from daemon.queue.spool import Spool
from daemon.system.permissions import access_error

_IN_REQUEST: Final = Wording("in the request")
#: What follows for a job that the daemon has not seen.
HANDED_IN: Final = "It is taken in when the daemon has seen it."
#: The same for one whose end was asked for before the daemon looked.
CANCEL_ASKED: Final = "It is cancelled when the daemon has seen that this was asked for."


class Jobs:
    """The jobs of one installation.

    Args:
        settings: the daemon's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.outbox = Outbox(self.paths.outbox)
        self._spool = Spool(self.paths.spool)
        self._history = History(self.paths.history)

    # -- look ------------------------------------------------------------------------------------------------------

    def status(self, job: str, caller: Caller) -> dict[str, Any]:
        """Return the status of a job by its id.

        Raises:
            RequestError: `job-unknown`: there is none, or it is somebody else's.
        """
        if not JOB_ID.fullmatch(job):
            raise _unknown(job)
        found = self._by_index(job) or self._by_record(job) or self._by_outbox(job)
        if found is None or not caller.owns(found.get("by")):
            raise _unknown(job)
        if found["state"] not in FINISHED and self._cancel_asked(found):
            found = {**found, "next": CANCEL_ASKED}
        return found

    def _cancel_asked(self, status: Mapping[str, Any]) -> bool:
        """Return whether somebody asked for a job's end and the daemon, which may be down, has not looked at that yet."""
        with contextlib.suppress(OSError):
            if (self.paths.inbox / f"{status['name']}.cancel").exists():
                return True
            with os.scandir(self._spool.control) as entries:
                asked = [entry.name for entry in entries if entry.name.endswith(".json") and entry.name[:1] != "."]
            for name in asked:
                with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
                    with open(self._spool.control / name, "rb", opener=_no_link) as file:
                        request = json.loads(file.read(MAX_BYTES))
                    named = request.get("job") == status["job"] or (
                        status.get("source") is not None and request.get("manifest") == status["source"]
                    )
                    if request.get("op") == "cancel" and named:
                        return True
        return False

    def find(
        self, query: Query, caller: Caller, *, limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return jobs, the newest first, and where the next page begins; None on the last.

        Raises:
            RequestError: `query-invalid`.
            HistoryError: there is no index yet.
        """
        for state in query.state:
            if state not in STATES and state not in STATE_WORDS:
                raise RequestError("query-invalid", f"There is no state {state!r}.", f"Use one of {', '.join(STATES)}.")
        try:
            rows = self._history.find(query, limit=limit + 1, after=after)
        except HistoryError:
            if (self.paths.history / "jobs.db").exists():
                raise
            rows = []  # no daemon has run yet
        page = [row.to_json() for row in rows[:limit]]
        if (
            after is None
            and not query.search
            and not query.kind
            and not query.tag
            and "waiting" in (query.states or STATES)
        ):
            known = {row.job for row in rows}
            page = [one for one in self._handed_in(caller) if one["job"] not in known] + page
        return page, rows[limit - 1].cursor if len(rows) > limit else None

    def manifest(self, job: str) -> dict[str, Any]:
        """Return the manifest of a job that may be seen; empty where this process may not read the spool, or it is gone."""
        with contextlib.suppress(OSError, ValueError, AvatarError):
            if JOB_ID.fullmatch(job) and (place := self._spool.find_job(job)) is not None:
                return dict(self._spool.load_job(place).manifest)
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
            counts = self._history.stats(by=by)
        except HistoryError:
            if (self.paths.history / "jobs.db").exists():
                raise
            return {"jobs": 0, "states": {}}  # no daemon has run yet
        return {**counts, "oldest": iso(counts["oldest"]) if counts["oldest"] is not None else None}

    def _by_index(self, job: str) -> dict[str, Any] | None:
        try:
            row = self._history.get(job)
        except HistoryError:
            return None
        return None if row is None else self.full(row.to_json())

    def _by_record(self, job: str) -> dict[str, Any] | None:
        """Return the status of a job that the daemon has not seen."""
        record = self._record(record_name(job))
        return None if record is None else _waiting(record.job, record.manifest, record.by)

    def _record(self, name: str) -> HandInRecord | None:
        try:
            path = self.paths.inbox / name
            with open(path, "rb", opener=_no_link) as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None  # a claim of somebody else
                return HandInRecord.from_bytes(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return None

    def _handed_in(self, caller: Caller) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(OSError), os.scandir(self.paths.inbox) as entries:
            for entry in entries:
                record = self._record(entry.name) if job_of(entry.name) else None
                if record and caller.owns(record.by) and (self.paths.inbox / record.manifest).exists():
                    yield _waiting(record.job, record.manifest, record.by)

    def _by_outbox(self, job: str) -> dict[str, Any] | None:
        name = self.outbox.name_of(job)
        status = None if name is None else checked(name, self.outbox.read_status(name))
        return status if status is not None and status["job"] == job else None

    # -- in --------------------------------------------------------------------------------------------------------

    def checked(
        self, manifest: Mapping[str, Any], files: Mapping[str, Path], caller: Caller
    ) -> tuple[dict[str, Any], Manifest, Amount]:
        """Return a manifest as it may be handed in, as the daemon would read it, and what it takes.

        Raises:
            RequestError: `manifest-unknown-key`: a key of the older system; `path-refused`: a file of the server;
                `batch-refused`; `rows-wrong`; `not-allowed`; `job-unknown`: its `base` is not the caller's.
            JobError: what is wrong with it.
        """
        if remarks := older_keys(dict(manifest)):
            raise RequestError(
                "manifest-unknown-key",
                f"There is no key {remarks[0]['pointer'].removeprefix('#/')}: {remarks[0]['detail']}.",
                "docs/http.md has a table of the older names.",
                errors=remarks,
            )
        wanted = dict(manifest)
        if ROWS in wanted:
            raise batch_refused()
        given = {key: wanted[key] for key in COMPANIONS if isinstance(wanted.get(key), str)}
        _refuse_names({key: name for key, name in given.items() if "/" in name or "\\" in name})
        defaults = read_defaults(self.paths.inbox, "job.yaml", self.settings.intake.max_manifest_bytes)
        found = check({**wanted, **usual_names(files)}, defaults, _IN_REQUEST)
        makes_jobs = found.kind_of_job.makes_jobs
        if makes_jobs != (ROWS in files):  # a table that no batch names would be taken for one of its own
            raise batch_refused()
        _refuse_names({key: name for key, name in found.companions().items() if key not in {*files, *found.inherited}})
        check_text_length(found, self.settings)
        check_notify(found.notify, self.settings.hooks)
        if found.base is not None:
            if makes_jobs:
                raise batch_refused()
            self._check_base(str(found.base), caller)
        if not makes_jobs:
            check_manifest(caller.limits, caller.name, found)
            return wanted, found, Amount(1, speech_s(found))
        from daemon.doors.http.batches.wanted_rows import check_rows

        check_priority(caller.limits, caller.name, found)
        amount = check_rows(found, files[ROWS], caller, self.settings, lambda base: self._check_base(base, caller))
        return wanted, found, amount

    def _check_base(self, base: str, caller: Caller) -> None:
        """Refuse an earlier job that the caller may not see, and a batch, whose rows nobody would check again.

        Raises:
            RequestError: `job-unknown`, `batch-refused`.
        """
        if not caller.sees_all and self.status(base, caller).get("kind") == "batch":
            raise batch_refused()

    def check_amounts(self, wanted: Amount, caller: Caller, ledger: JobLedger | None = None) -> None:
        """Refuse what would be more than its key may take.

        Raises:
            RequestError: `limit-reached`.
        """
        if ledger is None:
            with job_ledger(self.paths.inbox, caller) as ledger:
                if ledger is not None:
                    self.check_amounts(wanted, caller, ledger)
            return

        def rows(since: float | None, states: Sequence[str]) -> list[Row]:
            return self._rows(Query(by=[caller.name], since=since, state=states))

        unseen = {one["job"] for one in self._handed_in(caller) if one["by"] == caller.name}
        check_amounts(caller.limits, caller.name, wanted, ledger, rows, unseen)

    def _rows(self, query: Query) -> list[Row]:
        try:
            return self._history.find(query, limit=10_000)
        except HistoryError:  # no daemon has run yet, or the index is made again
            return []

    def hand_in(
        self,
        manifest: dict[str, Any],
        files: Mapping[str, Path],
        caller: Caller,
        *,
        name: str | None = None,
        key: str = "",
        take: bool = True,
    ) -> HandedIn:
        """Hand in a job. When this returns, it is on the disk.

        Args:
            take: the files may be moved.

        Raises:
            RequestError: as `checked` and `check_amounts`.
            AvatarError: as `daemon.doors.hand_in.hand_in`.
        """
        caller.check_may_submit()
        wanted, found, amount = self.checked(manifest, files, caller)
        stem = None if name is None else check_name(name)
        with job_ledger(self.paths.inbox, caller) as ledger:
            done = hand_in(
                wanted,
                files,
                caller.name,
                key,
                paths=self.paths,
                name=stem,
                checked=found,
                complete=True,
                take=take,
                wait=False,
                admit=lambda: None if ledger is None else self.check_amounts(amount, caller, ledger),
            )
            if ledger is not None and not done.again:
                ledger.add(done.job, amount, done.manifest.name if found.kind_of_job.makes_jobs else "")
        return done

    # -- change ----------------------------------------------------------------------------------------------------

    def ask(self, op: str, job: str, caller: Caller, **data: Any) -> str:
        """Have the daemon change a job; returns its answer, a sentence.

        Raises:
            RequestError: `job-unknown`, `not-allowed`, `job-finished`; `limit-reached`: a job that starts again is a job of the
                key's minute, too.
            AvatarError: what the daemon answers.
        """
        caller.check_may_submit()
        status = self.status(job, caller)
        if op == "retry":
            with job_ledger(self.paths.inbox, caller) as ledger:
                if ledger is not None:
                    amount = self._again(status)
                    self.check_amounts(amount, caller, ledger)
                    ledger.add(job, amount)
        if op in ("cancel", "hold", "release", "priority") and status["state"] in FINISHED:
            raise AvatarError(
                "job-finished", f"{status['name']} is {status['state']} already.", "Nothing is left to change."
            )
        if not self._may_ask():
            return self._put_request(op, status["name"])
        unseen = status["state"] == "waiting" and status.get("accepted") is None
        where = {"manifest": status["source"]} if unseen and op == "cancel" else {"job": job}
        return str(ask(self._spool, self.may_run, op, by=caller.name, **where, **data)["message"])

    @staticmethod
    def _again(status: Mapping[str, Any]) -> Amount:
        """Return what starts again with a job: the failed rows of a batch. Its speech was counted before."""
        counts = status.get("batch")
        failed = [counts.get(key) or 0 for key in ("failed", "cancelled")] if isinstance(counts, Mapping) else []
        return Amount(max(1, sum(failed)))

    def _may_ask(self) -> bool:
        """Return whether requests can be put into the spool: their folder may be all of it that this process may write."""
        place = self._spool.control
        with contextlib.suppress(PermissionError):
            place = place if place.exists() else self._spool.root
        return access_error(place) is None and os.access(place, os.R_OK | os.W_OK | os.X_OK)

    def _put_request(self, op: str, name: str) -> str:
        """Ask by an empty file in the inbox, as people without a shell do."""
        if op == "priority":
            raise RequestError(
                "not-allowed", "This server may not change priorities.", "Let it write the spool's requests."
            )
        with contextlib.suppress(FileExistsError):
            (self.paths.inbox / f"{name}.{op}").touch(mode=0o640, exist_ok=False)
        return f"{name} will be seen to; its status shows what became of it."

    def may_run(self) -> bool:
        """Return whether the daemon runs, or it is not known whether it does."""
        try:
            return lock_holder(self._spool.lock) is not None
        except OSError:
            return True  # not allowed to look


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def _refuse_names(named: Mapping[str, str]) -> None:
    """Refuse a manifest that names files of the server. `named`: key → name."""
    if named:
        key, name = next(iter(named.items()))
        raise RequestError(
            "path-refused",
            f"`{key}` names {name[:80]}, and this door takes no file of the server.",
            f"Send the file as the part `{key}` of a multipart body, or upload it first and write `upload:ID`.",
            errors=[{"pointer": f"#/{one}", "detail": "send the file itself"} for one in named],
        )


def handed_in(done: HandedIn, caller: Caller) -> dict[str, Any]:
    """Return the status of a job that has just been handed in, without a look at the disk."""
    return _waiting(done.job, done.manifest.name, caller.name)


def _waiting(job: str, manifest: str, by: str) -> dict[str, Any]:
    """Return the status of a job that the daemon has not seen.

    Args:
        manifest: its name in the inbox.
        by: who handed it in; empty: the user of this process.
    """
    return {
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
    return RequestError("job-unknown", f"There is no job {job[:80]}.", "The list of jobs shows those there are.")


def etag_of(value: Any) -> str:
    """Return an ETag that changes with a JSON value."""
    data = json.dumps(value, sort_keys=True, default=str).encode()
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'
