"""The client: hands in jobs and finds them again, with the rights of those who may write the inbox and read the outbox."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.config.paths import Paths
from daemon.config.settings import Intake
from daemon.doors.client.job import Job
from daemon.doors.client.status import JobStatus
from daemon.doors.hand_in import hand_in
from daemon.doors.job_names import check_name, next_name
from daemon.doors.manifest_files import batch_of, read_jobs
from daemon.doors.plain_values import plain_manifest
from daemon.doors.requests import ask, check_taken_in, put_request_file
from daemon.doors.standstill import standstill
from daemon.errors import AvatarError, JobError, RefusedError
from daemon.history.database import HistoryError
from daemon.history.entry import Entry
from daemon.history.history import History
from daemon.history.query import Query
from daemon.intake.batches.rows_without_jobs import row_without_job
from daemon.intake.folder_defaults import read_defaults
from daemon.jobs.batch.alone import is_table
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.hand_in_record import record_name
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.record import FINISHED, JOB_ID
from daemon.outbox.checked_status import checked
from daemon.outbox.outbox import Outbox
from daemon.queue.lock import lock_holder
from daemon.queue.spool import Spool
from daemon.system.config_file import config_path
from daemon.system.mount_guard import check_readable
from daemon.system.permissions import access_error, check_right

#: One text, or several of which one must fit.
OneOrMore = str | Sequence[str] | None
#: A datetime, or seconds since the epoch.
Time = datetime.datetime | float
#: The end of the year 9999, in seconds since the epoch.
_LAST_S = 253_402_300_799
#: Priorities go from -MAX_PRIORITY to this.
MAX_PRIORITY = 100
HANDED_IN = "It is taken in when the daemon has seen it."


@dataclass(frozen=True)
class Stats:
    """How many jobs the outbox tells of. `by_state`: state → number, of the states that occur."""

    total: int
    by_state: Mapping[str, int]

    @property
    def unfinished(self) -> int:
        """Number of jobs that have not ended."""
        return sum(count for state, count in self.by_state.items() if state not in FINISHED)


class Client:
    """Hands in jobs and follows them. It needs to write into the inbox and to read the outbox, and no running daemon.

    Args:
        config: the configuration file, its settings, or only the folders; default: `$AVATAR_CONFIG`, ./config.yaml, then
            /etc/avatard/config.yaml.
        by: who hands in; believed of the HTTP door only, see `server.user`.

    Raises:
        ConfigError: there is no configuration, or it is not valid.
    """

    def __init__(self, config: Path | str | Settings | Paths | None = None, *, by: str = "") -> None:
        if isinstance(config, Paths):
            self.paths = config
        else:
            self.paths = (config if isinstance(config, Settings) else load_settings(config)).paths
        self._by = by
        self._outbox = Outbox(self.paths.outbox)
        self._spool = Spool(self.paths.spool)
        self._index = History(self.paths.history)

    # -- in --------------------------------------------------------------------------------------------------------

    def submit(
        self,
        manifest: Mapping[str, Any] | Path | str | None = None,
        /,
        *,
        name: str | None = None,
        key: str = "",
        **keys: Any,
    ) -> Job:
        """Hand in a job. When this returns it is on the disk and is made once, also while the daemon is down.

        Args:
            manifest: its keys, or a manifest file with one document, or a table of whose rows each becomes a job; files that it
                names are taken from the file's folder.
            name: what the results are to be called; a new name from the text by default.
            key: idempotency key: the same key again gives the same job.
            keys: keys of the manifest (docs/manifest.md) beside or in place of those, such as `text="Hello."`,
                `image="anna.png"`; files are paths here.

        Raises:
            JobError: what is wrong with the manifest (daemon.errors.JobError); `file-missing`: a file that it names is neither
                here nor in the inbox.
            AvatarError: `name-taken`, `key-reused`.
            OSError: a file cannot be read, or the inbox not be written.
        """
        stem = None if name is None else check_name(name)
        defaults = read_defaults(self.paths.inbox, "job.yaml", Intake().max_manifest_bytes)
        return self._hand_in(*_wanted(manifest, keys, defaults), stem, key, defaults=defaults)

    def rerun(self, job: Job | str, *, name: str | None = None, key: str = "", **keys: Any) -> Job:
        """Make a job again, with what `keys` say otherwise: a new job with the same files and seeds (docs/again.md).

        Args:
            job: the earlier one, its id, or the name of its results.
            name: what the results are to be called; by default the next version of the earlier ones, such as hello-v2.
            key, keys: as for `submit`.

        Raises:
            AvatarError: `job-unknown`; `job-waiting`: it is no job yet; as `submit`.
        """
        before = (job if isinstance(job, Job) else self.get(job)).status
        if before.state == "waiting":
            raise RefusedError(
                "job-waiting", f"{before.name} is still in the inbox, and no job yet.", "Change the manifest there."
            )
        stem = next_name(self.paths.outbox, before.name) if name is None else check_name(name)
        return self._hand_in(*_wanted({"base": before.job}, keys), stem, key, chosen=name is None)

    def _hand_in(
        self, wanted: dict[str, Any], files: dict[str, Path], name: str | None, key: str, **options: Any
    ) -> Job:
        done = hand_in(plain_manifest(wanted), files, self._by, key, paths=self.paths, name=name, complete=True,
                       beside=True, **options)  # fmt: skip
        return Job(self, done.job, done.name, manifest=done.manifest.name)

    # -- find ------------------------------------------------------------------------------------------------------

    def get(self, job: str) -> Job:
        """Return a job by its id or by the name of its results.

        Raises:
            AvatarError: `job-unknown`, `row-without-job`.
        """
        if not isinstance(job, str):
            raise self._unknown(repr(job))
        if not JOB_ID.fullmatch(job):
            status = self._read(job)
            if status is None:
                raise row_without_job(self._spool, self._outbox, job) or self._unknown(job)
            return Job(self, status.job, job)
        found = Job(self, job, "")
        found.name = found.status.name
        return found

    def list(
        self,
        *,
        search: str = "",
        state: OneOrMore = (),
        kind: OneOrMore = (),
        by: OneOrMore = (),
        tag: OneOrMore = (),
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> list[JobStatus]:
        """Return the status of the jobs that the outbox tells of, the latest first.

        Args:
            search: words that must all be in the name, the text, the tags or the manifest's path (docs/history.md).
            state, kind, by: only those, or one of several; a state is one of those of the status, or a word that stands for
                some of them: pending, processing, completed.
            tag: only jobs with all of these tags. Looks of the page (docs/page.md) are listed by theirs only: page-look.
            since, until: accepted since then, and before then; a datetime without a zone is in UTC, a number counts seconds
                since the epoch.
            limit: at most so many; from 0 on.

        Raises:
            AvatarError: `query-invalid`: there is no such state, kind or time, or no such number of jobs.
        """
        states = _several(state)
        query = Query(search, state=states, kind=_several(kind), by=_several(by), tag=_several(tag),
                      since=_seconds(since), until=_seconds(until)).without_looks  # fmt: skip
        if limit is not None and limit < 0:
            raise RefusedError("query-invalid", f"{limit} is no number of jobs.", "Give 0 or more, or None for all.")
        if wrong := query.unknown_word():
            raise RefusedError("query-invalid", *wrong)
        found = sorted(
            (
                status
                for status in self._history()
                if (entry := Entry.of_status(status.record)) is not None and query.fits(entry)
            ),
            key=lambda status: (status.record.get("accepted") or "", status.job),
            reverse=True,
        )
        return found[:limit]

    def stats(self) -> Stats:
        """Return how many jobs are in which state."""
        states: Counter[str] = Counter(status.state for status in self._history())
        return Stats(sum(states.values()), dict(states))

    def _history(self) -> Iterator[JobStatus]:
        """The one place that knows where jobs are searched."""
        return (status for name in self._outbox.names() if (status := self._read(name)) is not None)

    def _read(self, name: str) -> JobStatus | None:
        record = checked(name, self._outbox.read_status(name))
        return None if record is None else JobStatus.of(record, self.paths.outbox)

    def _status_of(self, job: Job) -> JobStatus:
        status = self._recorded(job)
        return replace(status, standstill=standstill(self.paths.spool, status.state, status.next))

    def _recorded(self, job: Job) -> JobStatus:
        status = self._read(job.name) if job.name else None
        if status is not None and status.job == job.id:
            return status
        if (self.paths.inbox / record_name(job.id)).exists():  # it goes when the job has its status
            return JobStatus(job.id, job.name, "waiting", next=HANDED_IN)
        name = self._outbox.name_of(job.id)  # another one than it asked for
        status = self._read(name) if name is not None else None
        if status is not None and status.job == job.id:
            return status
        with contextlib.suppress(
            HistoryError
        ):  # it failed, and its name is another's by now; one that is done has its status
            if (row := self._index.get(job.id)) is not None and row.state != "done":
                return JobStatus.of(row.to_json(), self.paths.outbox)
        raise self._unknown(job.id)

    def _unknown(self, job: str) -> AvatarError:
        """Return the error for a job that the outbox tells nothing of.

        Raises:
            AvatarError: `not-allowed`: what the outbox tells may not be read.
            MachineError: `inbox-missing`, `outbox-missing`: it is not mounted.
            OSError: it cannot be listed.
        """
        check_right(self.paths.outbox, "read")
        check_readable(self.paths.inbox, self.paths.spool, "inbox")
        check_readable(self.paths.outbox, self.paths.spool, "outbox")
        return RefusedError(
            "job-unknown",
            f"The outbox has no status of a job {job[:200]}.",
            "`avatar jobs list` shows those there are.",
        )

    # -- change ----------------------------------------------------------------------------------------------------

    def cancel(self, job: Job | str) -> str:
        """Cancel a job, waiting or running; returns the answer, a sentence.

        Raises:
            AvatarError: `job-unknown`, `answer-late`; the daemon refused, such as `job-finished`.
        """
        return self._ask("cancel", job)

    def hold(self, job: Job | str, reason: str = "") -> str:
        """Hold a job back; one that runs ends its stage first. Errors as for `cancel`."""
        return self._ask("hold", job, reason=reason)

    def release(self, job: Job | str) -> str:
        """Let a held job go on. Errors as for `cancel`."""
        return self._ask("release", job)

    def retry(self, job: Job | str) -> str:
        """Start a failed or cancelled job again. Errors as for `cancel`."""
        return self._ask("retry", job)

    def priority(self, job: Job | str, value: int) -> str:
        """Give a job another place among those that wait. Only who may write into the spool can.

        Args:
            value: from -100 to 100; higher goes first.

        Raises:
            JobError: `control-invalid`: it is no such number.
            AvatarError: `not-allowed`; as `cancel`.
        """
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_PRIORITY:
            way = f"Give a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}."
            raise JobError("control-invalid", f"{value!r} is not a priority.", way)
        check_right(self._spool.root, "write")
        return self._ask("priority", job, priority=value)

    def _ask(self, op: str, job: Job | str, **data: Any) -> str:
        found = job if isinstance(job, Job) else self.get(job)
        status = found.status
        if access_error(self._spool.root) is not None or not os.access(self._spool.root, os.W_OK):
            put_request_file(self.paths, status.name, op, "" if status.state == "waiting" else found.id)
            return f"{status.name}.{op} lies in the inbox; the job's status shows what became of it."
        if op != "cancel":
            check_taken_in(status.name, lambda: bool(self._recorded(found).record), self._may_run)
        unseen = status.state == "waiting" and status.accepted is None
        where = {"manifest": found.manifest} if unseen and op == "cancel" and found.manifest else {"job": found.id}
        return str(ask(self._spool, self._may_run, op, **where, **data)["message"])

    def _may_run(self) -> bool:
        try:
            return lock_holder(self._spool.lock) is not None
        except OSError:
            return True  # not allowed to look


def _wanted(
    manifest: Mapping[str, Any] | Path | str | None, keys: Mapping[str, Any], defaults: Sequence[FolderDefaults] = ()
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the keys of a job that name no file which is here, and those files, by their key.

    Raises:
        JobError: `manifest-invalid`; what is wrong with a manifest file.
    """
    if not isinstance(manifest, Mapping | str | Path | None):
        raise JobError(
            "manifest-invalid",
            f"The manifest is no mapping of keys to values, but Python's {type(manifest).__name__}.",
            'Give a dict, the path of a manifest file, or the keys themselves, such as text="Hello.".',
        )
    if not isinstance(manifest, str | Path):
        return _parted({**(manifest or {}), **keys})
    path = Path(manifest)
    if is_table(path.name):
        batch = batch_of(path, *_parted(keys))
        return dict(batch.values), dict(batch.files)
    jobs = read_jobs(path, Intake(), defaults, *_parted(keys))
    if len(jobs) != 1:
        raise JobError(
            "manifest-invalid", f"{path} has {len(jobs)} jobs.", "Write each into a file, or use `avatar submit`."
        )
    return dict(jobs[0].values), dict(jobs[0].files)


def _parted(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Part keys of a job into those that name no file which is here, and those files, by their key."""
    files = {key: Path(keys[key]) for key in COMPANIONS if _is_file(keys.get(key))}
    return {key: value for key, value in keys.items() if key not in files}, files


def _several(given: OneOrMore) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _seconds(moment: Time | None) -> float | None:
    """Return a time as seconds since the epoch."""
    if isinstance(moment, datetime.datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    if moment is not None and not (isinstance(moment, int | float) and 0 <= moment <= _LAST_S):
        raise RefusedError("query-invalid", f"{moment!r} is no time.", "Give a datetime, or seconds since the epoch.")
    return moment


def load_settings(config: Path | str | None) -> Settings:
    """Return the settings of a configuration file; of the usual places where none is named.

    Raises:
        ConfigError: `config-missing`, `config-unreadable`, `config-invalid`.
    """
    return Settings.load(config_path(config or os.environ.get("AVATAR_CONFIG")))


def _is_file(value: Any) -> bool:
    """Return whether the value of a key that may name a file does: it is a path, or a file of that name is there."""
    return isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file())
