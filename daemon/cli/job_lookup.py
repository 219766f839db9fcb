"""Which jobs there are, as the disk has them at this moment: those in the spool, and the manifests still in the inbox."""

from __future__ import annotations

import contextlib
import difflib
import os
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from daemon.cli.common import Shell
from daemon.errors import AvatarError, RefusedError
from daemon.intake.batches.rows_without_jobs import row_without_job
from daemon.intake.scanner import InboxScanner
from daemon.jobs.facts import JobFacts
from daemon.jobs.hand_in_record import MAX_BYTES, HandInRecord, record_name
from daemon.jobs.record import JOB_ID, Job
from daemon.jobs.untrusted import printable, read_manifest
from daemon.outbox.names import clean_path, without_ending
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system.permissions import user_name
from daemon.system.spelling import folded

#: A job hops while we look for it; so often it is looked for.
TRIES = 5
#: Longest time between a manifest's leaving the inbox and its job's being in the spool, s.
TAKEN_IN_S = 5.0
#: For names that no job has: most names that are proposed, and their least similarity (difflib's ratio).
MEANT, CLOSE_RATIO = 3, 0.75


def all_jobs(shell: Shell) -> Iterator[Job]:
    """Yield every job with a readable record, and every manifest that is not a job yet (state `waiting`)."""
    for folder in shell.spool.folders()[3:]:
        for path in shell.spool.job_folders(folder):
            with contextlib.suppress(ValueError):  # it moved on while we looked
                yield shell.spool.load_job(path)
    yield from waiting(shell)


def waiting(shell: Shell) -> Iterator[Job]:
    """Manifests in the inbox. Those the daemon has looked into have an id and say what they wait for; `facts["path"]` is the
    path below the inbox. The others, which still change or which nobody has looked at, have no id.
    """
    noted = set()
    for path in shell.spool.waiting.glob("job-*.json"):
        with contextlib.suppress(ValueError, FileNotFoundError):  # taken in while we looked
            job = Job.from_bytes(path.read_bytes())
            noted.add(printable(job.facts.path or ""))
            yield job
    yield from unclaimed(shell, noted)


def unclaimed(shell: Shell, noted: Container[str]) -> Iterator[Job]:
    """Manifests in the inbox that still change, or that nobody has looked at; they have no id. `noted`: printable paths below the
    inbox of those that the daemon has looked into.
    """
    with contextlib.suppress(OSError):  # not mounted, or closed: nothing to see
        for drop in InboxScanner(shell.settings.paths.inbox, shell.settings).look():
            if (source := printable(drop.name)) not in noted:
                job = Job(
                    id="",
                    name=clean_path(drop.name if shell.settings.intake.subfolders else "", drop.stem),
                    source=source,
                    by=user_name(drop.look.uid),
                    state="waiting",
                    accepted=drop.look.ctime_ns / 1e9,
                )
                job.facts = JobFacts(path=drop.name)
                yield job


def find(shell: Shell, wanted: str) -> Job:
    """Return a job by its id, by the name of its result (the latest of that name), by its manifest's path below the inbox, or by
    one of its files, also with the folder that it is in.

    Raises:
        AvatarError: `job-unknown`, `row-without-job`.
    """
    if JOB_ID.fullmatch(wanted):
        job = _by_id(shell.spool, wanted) or _handed_in(shell, wanted) or _being_taken_in(shell, wanted)
    else:
        owner = Outbox(shell.settings.paths.outbox).owner_of(wanted) or ""
        job = _by_id(shell.spool, owner) if JOB_ID.fullmatch(owner) else None
        if job is None or job.name != wanted:  # its status is gone, or was never written
            named = [job for job in all_jobs(shell) if wanted == job.name or wanted == job.facts.path]
            job = max(named, key=lambda job: job.accepted, default=None)
    if job is None and (name := _of_file(shell, wanted)) != wanted:
        return find(shell, name)
    if job is None:
        if (error := row_without_job(shell.spool, Outbox(shell.settings.paths.outbox), wanted)) is not None:
            raise error
        raise RefusedError(
            "job-unknown", f"There is no job {wanted}.", which_is_meant(wanted, (job.name for job in all_jobs(shell)))
        )
    return job


def _handed_in(shell: Shell, job_id: str) -> Job | None:
    """Return the manifest in the inbox that a door gave this id, where the daemon has not looked at it. Its job has no id yet."""
    inbox, name = shell.settings.paths.inbox, record_name(job_id)
    with contextlib.suppress(OSError, ValueError, AvatarError):
        record, owner = HandInRecord.from_bytes(read_manifest(inbox, name, MAX_BYTES)), (inbox / name).lstat().st_uid
        named = (drop for drop in unclaimed(shell, ()) if drop.facts.path == record.manifest)
        return next((drop for drop in named if (inbox / record.manifest).lstat().st_uid == owner), None)
    return None


def _being_taken_in(shell: Shell, job_id: str) -> Job | None:
    """Wait for a job whose manifest has left the inbox, as long as the record of its hand-in is there."""
    record, deadline = shell.settings.paths.inbox / record_name(job_id), time.monotonic() + TAKEN_IN_S
    while (job := _by_id(shell.spool, job_id)) is None and os.path.lexists(record) and time.monotonic() < deadline:
        time.sleep(0.05)
    return job or _by_id(shell.spool, job_id)


def which_is_meant(wanted: str, found: Iterable[str]) -> str:
    """Return what to do about a name that no job has: the names in other folders that end as it does, or that resemble it."""
    names = sorted(set(found))
    last = folded(os.path.basename(wanted))
    meant = [name for name in names if folded(os.path.basename(name)) == last]
    if not meant:
        meant = difflib.get_close_matches(wanted, names, MEANT, CLOSE_RATIO)
    if not meant:
        return "`avatar jobs list` shows those there are."
    more = "" if len(meant) <= MEANT else f" There are {len(meant) - MEANT} more: `avatar jobs list` shows them."
    return f"Did you mean {' or '.join(meant[:MEANT])}?{more}"


def _of_file(shell: Shell, wanted: str) -> str:
    """Return the name of the result that a file or manifest belongs to: anna/hello for outbox/anna/hello.mp4."""
    path = Path(os.path.abspath(wanted))
    for folder in (shell.settings.paths.outbox, shell.settings.paths.inbox):
        if path.is_relative_to(folder):
            return without_ending(str(path.relative_to(folder)))
    return without_ending(wanted)


def _by_id(spool: Spool, job_id: str) -> Job | None:
    for _ in range(TRIES):
        with contextlib.suppress(ValueError, FileNotFoundError):
            if (place := spool.find_job(job_id)) is not None:
                return spool.load_job(place)
            return Job.from_bytes((spool.waiting / f"{job_id}.json").read_bytes())
    return None
