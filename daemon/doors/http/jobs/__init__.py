"""Finds, lists, hands in and changes jobs for the routes, each caller's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from daemon.doors.hand_in import hand_in
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs.found import FoundJobs, waiting_status
from daemon.doors.http.jobs.row_uploads import NO_ROW_FILES, RowFiles
from daemon.doors.http.jobs.wanted import Wanted, check_wanted
from daemon.doors.http.limits import Amount, JobLedger, check_amounts, job_ledger
from daemon.doors.job_names import check_name
from daemon.doors.requests import ask, check_taken_in, put_request_file
from daemon.doors.submission import HandedIn, NameTakenError
from daemon.errors import AvatarError, MachineError, RefusedError
from daemon.history.database import HistoryError
from daemon.history.query import Query, Row
from daemon.jobs.record import FINISHED
from daemon.outbox.names import clean_stem
from daemon.queue.lock import lock_holder
from daemon.system.permissions import access_error

log = structlog.get_logger()


class Jobs(FoundJobs):
    """The jobs of one installation, to look at, to hand in and to change."""

    def checked(
        self, manifest: Mapping[str, Any], files: Mapping[str, Path], caller: Caller, of_rows: RowFiles = NO_ROW_FILES
    ) -> Wanted:
        """As `check_wanted`, with the files that rows bring."""
        return check_wanted(self, manifest, files, caller, frozenset(of_rows.names))

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

        def unseen() -> set[str]:
            return {one["job"] for one in self.not_seen(caller) if one["by"] == caller.name}

        check_amounts(caller.limits, caller.name, wanted, ledger, rows, unseen)

    def check_name_free(self, name: str | None, output: str | None) -> None:
        """Check that a job handed in now would get the name that it asks for.

        Args:
            name: of its manifest; None: a new one.
            output: what the manifest says; None: nothing.

        Raises:
            NameTakenError: it would not.
        """
        if name is None and output is None:
            return
        result = clean_stem(output or name or "")
        waits = name is not None and os.path.lexists(self.paths.inbox / f"{name}.yaml")
        if waits or not self.outbox.is_free(result):
            raise NameTakenError(result, "name" if output is None else "output")

    def _rows(self, query: Query) -> list[Row]:
        try:
            return self.history.find(query, limit=10_000)
        except HistoryError:  # no daemon has run yet, or the index is made again
            return []

    def hand_in(
        self,
        manifest: dict[str, Any],
        files: Mapping[str, Path],
        caller: Caller,
        *,
        name: str | None = None,
        chosen: bool = False,
        key: str = "",
        take: bool = True,
        of_rows: RowFiles = NO_ROW_FILES,
    ) -> HandedIn:
        """Hand in a job. When this returns, it is on the disk.

        Args:
            chosen: as for `daemon.doors.hand_in.hand_in`.
            take: the files may be moved.
            of_rows: the files that rows of its table name.

        Raises:
            RequestError: as `checked` and `check_amounts`.
            AvatarError: as `daemon.doors.hand_in.hand_in`.
        """
        caller.check_may_submit()
        wanted, found, amount, _ = self.checked(manifest, files, caller, of_rows)
        stem = None if name is None else check_name(name)
        with job_ledger(self.paths.inbox, caller) as ledger:

            def admit() -> None:
                if ledger is not None:
                    self.check_amounts(amount, caller, ledger)
                of_rows.bring(self.paths.inbox)

            done = hand_in(
                wanted,
                files,
                caller.name,
                key,
                paths=self.paths,
                name=stem,
                chosen=chosen,
                checked=found,
                complete=True,
                take=take,
                wait=False,
                admit=admit,
                outbox=self.outbox,
            )
            self.remember(done.job, done.name)
            if ledger is not None and not done.again:
                try:
                    ledger.add(done.job, amount, done.manifest.name if found.kind_of_job.makes_jobs else "")
                except OSError as exc:  # the job is there, and told otherwise it would be sent again
                    log.warning("job not counted", job_id=done.job, key=caller.name, error=str(exc))
        return done

    def ask(self, op: str, job: str, caller: Caller, **data: Any) -> str:
        """Have the daemon change a job; returns its answer, a sentence.

        Raises:
            RequestError: `job-unknown`, `not-allowed`, `job-finished`, `job-waiting`; `limit-reached`: a job that starts again is
                a job of the key's minute, too.
            AvatarError: what the daemon answers.
        """
        caller.check_may_submit()
        status = self.status(job, caller)
        may_ask = self._may_ask()
        # Where no daemon has ever run there is no place for a request, and nobody lacks a right.
        if op != "cancel" and (may_ask or not os.path.lexists(self.spool.root)):
            check_taken_in(status["name"], lambda: _is_seen(self.status(job, caller)), self.may_run)
        if op in ("cancel", "hold", "release", "priority", "change") and status["state"] in FINISHED:
            raise RefusedError(
                "job-finished", f"{status['name']} is {status['state']} already.", "Nothing is left to change."
            )
        with self._counted(job, self._again(status), caller) if op == "retry" else contextlib.nullcontext():
            if not may_ask:
                return self._put_request(op, status)
            waits = status["state"] == "waiting" and status.get("accepted") is None
            where = {"manifest": status["source"]} if waits and op == "cancel" else {"job": job}
            return str(ask(self.spool, self.may_run, op, by=caller.name, **where, **data)["message"])

    @contextlib.contextmanager
    def _counted(self, job: str, amount: Amount, caller: Caller) -> Iterator[None]:
        """Count what starts again as jobs of the key's minute, unless it is refused inside the `with` block.

        Raises:
            RequestError: `limit-reached`.
        """
        with job_ledger(self.paths.inbox, caller) as ledger:
            if ledger is not None:
                self.check_amounts(amount, caller, ledger)
            entry = None if ledger is None else ledger.add(job, amount)
        try:
            yield
        except (AvatarError, OSError) as exc:
            stands = isinstance(exc, AvatarError) and exc.code == "answer-late"
            if entry is not None and not stands:
                with contextlib.suppress(OSError), job_ledger(self.paths.inbox, caller) as ledger:
                    if ledger is not None:
                        ledger.remove(entry)
            raise

    @staticmethod
    def _again(status: Mapping[str, Any]) -> Amount:
        """Return what starts again with a job: the failed rows of a batch. Its speech was counted before."""
        counts = status.get("batch")
        failed = [counts.get(key) or 0 for key in ("failed", "cancelled")] if isinstance(counts, Mapping) else []
        return Amount(max(1, sum(failed)))

    def _may_ask(self) -> bool:
        """Return whether requests can be put into the spool: their folder may be all of it that this process may write."""
        place = self.spool.control
        with contextlib.suppress(PermissionError):
            place = place if place.exists() else self.spool.root
        return access_error(place) is None and os.access(place, os.R_OK | os.W_OK | os.X_OK)

    def _put_request(self, op: str, status: Mapping[str, Any]) -> str:
        """Ask by an empty file in the inbox, as people without a shell do."""
        if op in ("priority", "change"):
            raise MachineError(
                "not-allowed",
                "This server may not change priorities.",
                "Whoever runs it lets it write the spool's folder `control`.",
            )
        put_request_file(self.paths, status["name"], op, "" if status["state"] == "waiting" else status["job"])
        return f"{status['name']} will be seen to; its status shows what became of it."

    def may_run(self) -> bool:
        """Return whether the daemon runs, or it is not known whether it does."""
        try:
            return lock_holder(self.spool.lock) is not None
        except OSError:
            return True  # not allowed to look


def _is_seen(status: Mapping[str, Any]) -> bool:
    """Return whether a status is the daemon's; else it is that of a job which was handed in, and which no daemon has seen."""
    return "schema" in status or status.get("accepted") is not None


def handed_in(done: HandedIn, caller: Caller) -> dict[str, Any]:
    """Return the status of a job that has just been handed in, without a look at the disk."""
    return waiting_status(done.job, done.manifest.name, caller.name, done.kind)
