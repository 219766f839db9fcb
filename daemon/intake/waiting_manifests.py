"""Keeps the manifests in the inbox that have a status already: what they wait for, since when, and under which id.

Each has a record in `spool/waiting`, so that a restart keeps its name and its clock. How long one has waited is measured by the
monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from daemon.events import Events
from daemon.intake.drop import Drop
from daemon.intake.fair_queue import Turn
from daemon.intake.jobs.job_builder import Post
from daemon.intake.scanner import InboxScanner
from daemon.jobs.facts import JobFacts, WaitStart
from daemon.jobs.record import Held, Job, new_job_id
from daemon.jobs.untrusted import printable
from daemon.outbox.name_choice import NameRequest
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.json_files import replace_all_json, replace_json
from daemon.system.permissions import user_name

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class WaitingNote(NamedTuple):
    """What is told of a manifest that begins to wait.

    Attributes:
        wanted: the name its results are to have.
        missing: names of the files that are not there, or not whole.
        since: since when it waits, by the inbox's clock, in s.
    """

    drop: Drop
    wanted: str
    missing: list[str]
    warnings: Sequence[str]
    since: float


class WaitingManifests:
    """Keeps the manifests that wait for their files, and their status files.

    Args:
        inbox: gives the inbox, whose clock counts.
        post: runs a call in the event loop; `events` are only announced there.
    """

    def __init__(
        self, spool: Spool, outbox: Outbox, events: Events, inbox: Callable[[], InboxScanner], post: Post
    ) -> None:
        self._spool = spool
        self._outbox = outbox
        self._events = events
        self._inbox = inbox
        self._post = post
        self._known: dict[str, Job] = {}
        self._names: dict[str, str] = {}
        #: Whether the last turn ended before all that are gone were forgotten.
        self.unfinished = False

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def name_of(self, job_id: str) -> str | None:
        """Return the path below the inbox of the manifest that waits under an id."""
        return self._names.get(job_id)

    def id_of(self, name: str) -> str | None:
        """Return the id that a manifest waits under."""
        known = self._known.get(name)
        return known.id if known else None

    def held(self, name: str) -> Held | None:
        """Return who holds a manifest that waits, why and since when; None where nobody does."""
        known = self._known.get(name)
        return known.held if known else None

    def hold(self, name: str, held: Held | None) -> Job:
        """Note durably that the jobs of a manifest that waits are held from their first moment; None: that they are not."""
        job = self._known[name]
        before, job.held = job.held, held
        try:
            replace_json(self._record(job), job.to_json())
        except OSError:
            job.held = before
            raise
        self._post(self._events.job_waiting, job, job.facts.missing)
        return job

    def begin(self, notes: Sequence[WaitingNote]) -> None:
        """Note durably that manifests wait, all flushed together, and tell people."""
        now, boot = time.time(), _boot_id()
        jobs: list[Job] = []
        for drop, _, missing, warnings, since in notes:
            job = Job(
                id=drop.job or new_job_id(),
                name=drop.stem,
                source=printable(drop.name),
                by=drop.by or user_name(drop.look.uid),
                state="waiting",
                accepted=now,
                since=now,
            )
            job.facts = JobFacts(path=drop.name, missing=missing, waits_since=WaitStart(boot, since))
            job.warnings = list(warnings)
            jobs.append(job)
        requests = [
            NameRequest(self._outbox.name_for(note.drop.name, note.wanted), job.id, status_of(job))
            for note, job in zip(notes, jobs, strict=True)
        ]
        for job, name in zip(jobs, self._outbox.reserve_names(requests), strict=True):
            job.name = name
        replace_all_json({self._record(job): job.to_json() for job in jobs})
        for note, job in zip(notes, jobs, strict=True):
            self._keep(note.drop.name, job)
            self._post(self._events.job_waiting, job, note.missing)

    def change(self, name: str, missing: list[str], warnings: Sequence[str]) -> None:
        """Tell people when a manifest that waits already lacks something else."""
        job = self._known[name]
        if (job.facts.missing, job.warnings) != (missing, list(warnings)):
            job.facts.missing, job.warnings = missing, list(warnings)
            replace_json(self._record(job), job.to_json(), durable=False)
            self._post(self._events.job_waiting, job, missing)

    def recover(self) -> dict[str, float]:
        """Restore the manifests that waited when the daemon ended; forget those that are gone from the inbox. Returns since when
        each waits, by its path below the inbox.
        """
        waiting: dict[str, float] = {}
        for path in self._spool.waiting.glob(".*.tmp"):
            fs.remove(path)  # left by a crash
        for path in sorted(self._spool.waiting.glob("job-*.json")):
            try:
                job = Job.from_bytes(path.read_bytes())
            except (OSError, ValueError):
                fs.remove(path)
                continue
            source = job.facts.path or ""
            there = source and self._inbox().at(source) is not None
            if there and self._spool.find_job(job.id) is None:
                self._keep(source, job)
                waiting[source] = self._waited_from(job)
            else:
                self._forget(job)
        return waiting

    def end_if_accepted(self, name: str) -> None:
        """End the waiting of a manifest whose job is in the spool."""
        known = self._known.get(name)
        if known is not None and self._spool.find_job(known.id) is not None:
            self._end(name)

    def keep(self, present: set[str]) -> None:
        """End the waiting of the manifests that are not in the inbox any more, as far as one turn goes."""
        gone = [name for name in self._known if name not in present]
        turn = Turn(self._inbox().clock)
        while gone and turn.has_room():
            self._end(gone.pop())
            turn.jobs += 1
        self.unfinished = bool(gone)

    def _keep(self, name: str, job: Job) -> None:
        self._known[name] = job
        self._names[job.id] = name

    def _end(self, name: str) -> None:
        job = self._known.pop(name)
        self._names.pop(job.id, None)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        if self._is_orphaned(job):
            self._outbox.withdraw_status(job.name, job.id)
            self._post(self._events.job_withdrawn, job)
        fs.remove(self._record(job))

    def _is_orphaned(self, job: Job) -> bool:
        """True if the status a manifest waited under belongs to no job: it was taken away, or its jobs have other names."""
        place = self._spool.find_job(job.id)
        if place is None:
            return True
        try:
            return self._spool.load_job(place).name != job.name
        except ValueError:
            return False

    def _waited_from(self, job: Job) -> float:
        """Since when a manifest waits that waited before a restart. After a reboot the monotonic clock is another one, and the
        wall clock may have been set; then it waits anew.
        """
        since, now = job.facts.waits_since, self._inbox().clock()
        return min(since.at, now) if since and since.boot == _boot_id() else now

    def _record(self, job: Job) -> Path:
        return self._spool.waiting / f"{job.id}.json"


def _boot_id() -> str:
    """Tells one run of the kernel from the next; monotonic times are only comparable within one."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
