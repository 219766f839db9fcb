"""Deciding which drops are taken now, and keeping those waiting whose files have not arrived."""

from __future__ import annotations

import os
import shutil
import time

from daemon import fs
from daemon.claims import Claims, printable, read_manifest
from daemon.config import Settings
from daemon.errors import AvatarError, MachineError
from daemon.events import Events
from daemon.inbox import Drop, Inbox
from daemon.job import Job, new_id
from daemon.manifest import Manifest
from daemon.outbox import Outbox
from daemon.parse import parse
from daemon.spool import Spool
from daemon.status import describe

#: A file that still changes after this many settle times is worth a status.
PATIENCE = 5


class Intake:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, claims: Claims, events: Events) -> None:
        self.settings = settings
        self.spool = spool
        self.outbox = outbox
        self.claims = claims
        self.events = events
        self.inbox = Inbox(settings.paths.inbox, settings.intake)
        self._waiting: dict[str, Job] = {}
        self._moving: dict[str, float] = {}

    def scan(self) -> list[Drop]:
        """Look at the whole inbox once; returns the drops that may be taken now, oldest first."""
        started = time.monotonic()
        drops = self.inbox.look()
        self._forget_gone({drop.name for drop in drops})
        ready = [drop for drop in drops if (self._complete(drop) if drop.settled else self._look_ahead(drop))]
        self.events.scanned(time.monotonic() - started, len(drops))
        return sorted(ready, key=lambda drop: (drop.look.mtime_ns, drop.name))

    def take(self, drop: Drop) -> list[Job]:
        """Claim one drop and make its jobs."""
        waiting = self._waiting.get(drop.name)
        jobs = self.claims.take(drop, waiting.id if waiting else new_id())
        if jobs is None:
            return []
        self.inbox.forget(drop.name)
        if waiting:
            del self._waiting[drop.name]
            self._unwait(waiting, withdraw=all(job.name != waiting.name for job in jobs))
        return jobs

    def check_room(self) -> None:
        """Refuse new claims while the spool's disk is nearly full.

        Raises:
            MachineError: `disk-reserve`.
        """
        free = shutil.disk_usage(self.settings.paths.spool).free
        reserve = self.settings.intake.reserve_mb * 10**6
        if free < reserve:
            raise MachineError(
                "disk-reserve",
                f"Only {free / 1e6:.0f} MB are free on the spool's disk; {reserve / 1e6:.0f} MB are kept in reserve.",
                "Free some space; new jobs are then taken in by themselves.",
            )

    # -- waiting for the files a manifest names ------------------------------------------------------------------

    def recover(self) -> None:
        """Take up the manifests that waited when the daemon ended; forget those that are gone from the inbox."""
        for path in sorted(self.spool.waiting.glob("job-*.json")):
            try:
                job = Job.from_bytes(path.read_bytes())
            except (OSError, ValueError):
                fs.remove(path)
                continue
            source = str(job.facts.get("path", ""))
            if source and os.path.lexists(self.settings.paths.inbox / source):
                self._waiting[source] = job
            else:
                self._unwait(job, withdraw=self.spool.find(job.id) is None)

    def _complete(self, drop: Drop) -> bool:
        """Whether every file the manifest names is there and still. One that is wrong altogether is taken, and fails."""
        names = self._companions(drop)
        moving = [name for name in names if not self.inbox.still(name)]
        if not moving:
            self._moving.pop(drop.name, None)
            return True
        # Files that are there need a second look like every other; that alone is not worth telling.
        first = self._moving.setdefault(drop.name, time.monotonic())
        absent = any(not os.path.lexists(self.settings.paths.inbox / name) for name in moving)
        if (
            drop.name not in self._waiting
            and not absent
            and time.monotonic() - first < self.settings.intake.settle_s * PATIENCE
        ):
            return False
        since = self._wait(drop, [printable(os.path.basename(name)) for name in moving])
        return time.time() - since >= self.settings.intake.companion_wait_s

    def _look_ahead(self, drop: Drop) -> bool:
        """Take the first look at the files of a manifest that has not settled, so that all settle in the same time."""
        for name in self._companions(drop):
            self.inbox.still(name)
        return False

    def _companions(self, drop: Drop) -> list[str]:
        base = os.path.dirname(drop.name)
        return list(
            dict.fromkeys(os.path.join(base, name) for manifest in self._peek(drop) for name in manifest.files())
        )

    def _peek(self, drop: Drop) -> list[Manifest]:
        """The jobs of a manifest that still lies in the inbox, without the wrong ones."""
        limits = self.settings.intake
        try:
            items = parse(
                read_manifest(self.settings.paths.inbox, drop.name, limits.max_manifest_bytes), limits.max_documents
            )
        except (AvatarError, OSError):
            return []
        return [item for item in items if isinstance(item, Manifest)]

    def _wait(self, drop: Drop, missing: list[str]) -> float:
        """Note durably that a manifest waits, so that a restart keeps its name and its clock. Returns since when."""
        job = self._waiting.get(drop.name)
        if job is None:
            now = time.time()
            job = Job(
                id=new_id(), name=drop.stem, source=printable(drop.name), state="waiting", accepted=now, since=now
            )
            job.facts = {"path": drop.name, "missing": missing}
            wanted = next((m.output for m in self._peek(drop) if m.output), None) or drop.stem
            job.name = self.outbox.reserve(wanted, job.id, describe(job))
            fs.replace_json(self.spool.waiting / f"{job.id}.json", job.to_json())
            self._waiting[drop.name] = job
            self.events.job_waiting(job, missing)
        elif job.facts["missing"] != missing:
            job.facts["missing"] = missing
            self.events.job_waiting(job, missing)
        return job.since

    def _forget_gone(self, present: set[str]) -> None:
        self._moving = {name: since for name, since in self._moving.items() if name in present}
        for name in [name for name in self._waiting if name not in present]:
            self._unwait(self._waiting.pop(name), withdraw=True)

    def _unwait(self, job: Job, *, withdraw: bool) -> None:
        if withdraw:
            self.outbox.withdraw(job.name, job.id)
            self.events.job_withdrawn(job)
        fs.remove(self.spool.waiting / f"{job.id}.json")
