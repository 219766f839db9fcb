"""The list of jobs: from the index where it can be used, from the folders otherwise."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.cli.common import Shell, note
from daemon.history.database import FILE, HistoryError, was_left_open
from daemon.history.history import MOST_COUNTED, History
from daemon.history.query import STATES, Query, Row
from daemon.intake.inbox_names import has_manifests
from daemon.outbox import looks
from daemon.system.permissions import access_error, check_right, explain_refusal

if TYPE_CHECKING:
    from daemon.history.entry import Entry
    from daemon.jobs.record import Job

#: More than all jobs.
ALL = 10**9


def find_rows(shell: Shell, query: Query, limit: int = ALL) -> list[Row]:
    """Return the jobs that are asked for, the newest first, and manifests in the inbox that nobody has looked at."""
    folder = shell.paths.history
    try:
        _refuse_old(shell, folder)
        # In this order, so that what is noted between two looks is listed twice rather than never; doubles are left out.
        pending = _pending(shell)
        known = _noted(folder) if pending else set()
        rows = History(folder).find(query, limit=limit)
        waiting = _unlisted(query, rows, pending, known) if pending else []
    except HistoryError as exc:
        _tell(shell, exc)
        rows = sorted(_from_folders(shell, query), key=lambda row: (row.cursor, row.job), reverse=True)
        return rows[:limit]
    return sorted([*rows, *waiting], key=lambda row: row.cursor, reverse=True)[:limit] if waiting else rows


def count(shell: Shell, since: float | None) -> dict[str, Any]:
    """Return what `History.stats` says; counted in the folders where the index cannot be used.

    Raises:
        AvatarError: `not-allowed`: it may not be read.
    """
    folder = shell.paths.history
    check_right(folder, "read")
    try:
        _refuse_old(shell, folder)
        return History(folder).stats(since=since)
    except HistoryError as exc:
        if (file := folder / FILE).exists() and not os.access(file, os.R_OK):
            raise explain_refusal(PermissionError(errno.EACCES, "", str(file)), "read") from exc
        _tell(shell, exc)
        return _count_rows(list(_from_folders(shell, Query(since=since).without_looks)))


def _count_rows(rows: list[Row]) -> dict[str, Any]:
    """Return what `History.stats` says of these jobs."""

    def most_frequent(values: Iterable[str]) -> dict[str, int]:
        return dict(sorted(Counter(values).items(), key=lambda one: (-one[1], one[0]))[:MOST_COUNTED])

    done = [row for row in rows if row.state == "done"]
    return {
        "jobs": len(rows),
        "states": most_frequent(row.state for row in rows),
        "kinds": most_frequent(row.kind for row in rows if row.kind),
        "owners": most_frequent(row.by for row in rows if row.by),
        "errors": most_frequent(
            str(row.error.get("code")) for row in rows if row.error and row.state in ("failed", "cancelled")
        ),
        "audio_s": round(sum(row.audio_s for row in done), 1),
        "work_s": round(sum(row.work_s for row in done), 1),
        "oldest": min((row.accepted for row in rows if row.state in STATES[:4]), default=None),
    }


def _refuse_old(shell: Shell, folder: Path) -> None:
    """Refuse an index that may lack the last changes of a daemon that was killed, where the folders can tell."""
    if was_left_open(folder) and access_error(shell.spool.root) is None and not shell.may_run():
        raise HistoryError("The daemon was killed, and the index of jobs may lack the last changes.")


def _pending(shell: Shell) -> list[Job]:
    """Return the manifests in the inbox. What looks at its files is only imported where there is one, which takes long."""
    if not has_manifests(shell.paths.inbox):
        return []
    from daemon.cli.job_lookup import unclaimed

    return list(unclaimed(shell, ()))


def _noted(folder: Path) -> set[str]:
    """Return the manifests that the index knows to be waiting, by their path below the inbox."""
    return {row.source for row in History(folder).find(Query(state=["waiting"]), limit=ALL)}


def _unlisted(query: Query, rows: list[Row], pending: list[Job], known: set[str]) -> list[Row]:
    """Return the manifests of those in the inbox that neither the index knew before (`known`) nor `rows` tell of."""
    from daemon.history.entry import Entry

    known = known | {row.source for row in rows if row.state == "waiting"}
    taken = {row.source: row.accepted for row in reversed(rows)}
    left = (job for job in pending if job.source not in known and taken.get(job.source, 0.0) < job.accepted)
    return list(_rows(query, map(Entry.of_job, left)))


def _rows(query: Query, entries: Iterator[Any]) -> Iterator[Row]:
    return (
        Row.of_entry(entry)
        for entry in entries
        if entry is not None and query.fits(entry) and not _is_hidden(query, entry)
    )


def _is_hidden(query: Query, entry: Entry) -> bool:
    """Return whether a manifest that nobody has read, so that its tags are not known, is a look of the page by its name."""
    return looks.TAG in query.without_tag and not entry.job and entry.name.startswith(looks.PREFIX)


def _from_folders(shell: Shell, query: Query) -> Iterator[Row]:
    from daemon.cli import outbox_view
    from daemon.cli.job_lookup import all_jobs
    from daemon.history.entry import Entry

    if shell.spool_closed:
        return _rows(query, map(Entry.of_status, outbox_view.statuses(shell)))
    return _rows(query, map(Entry.of_job, all_jobs(shell)))


def _tell(shell: Shell, exc: HistoryError) -> None:
    """Say that the folders are read, which takes longer, unless no daemon has made an index yet."""
    folder = shell.paths.history
    if os.path.exists(folder / FILE):  # and may be seen
        note(f"{exc.message} So this was read from the folders.")
