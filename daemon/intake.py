"""Deciding which drops are taken now, and keeping those waiting whose files have not arrived."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daemon import fs
from daemon.anchor import Anchor
from daemon.claims import Claims
from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError
from daemon.events import Events
from daemon.inbox import MANIFESTS, Drop, Inbox, Look
from daemon.job import Job, new_id
from daemon.manifest import Manifest
from daemon.outbox import Outbox, clean_stem
from daemon.reading import parse_safely, printable, read_manifest
from daemon.safeopen import open_inside
from daemon.spool import Spool
from daemon.status import describe

#: A file that still changes after this many settle times is worth a status.
PATIENCE = 5
#: Drops taken, or looked into, in one go; between two the daemon does its other work.
BATCH = 64
#: No two looks follow each other faster than this, in s, but for a notification.
LEAST_S = 0.01
#: A manifest that could not be taken is tried again after this long, in s.
REFUSED_S = 30.0


class _Peek(NamedTuple):
    """What was read of a manifest that waits: its files, by their path below the inbox, and the names it asks for."""

    look: Look
    files: list[str]
    outputs: list[str]


class Intake:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, claims: Claims, events: Events) -> None:
        self.settings = settings
        self.spool = spool
        self.outbox = outbox
        self.claims = claims
        self.events = events
        self.inbox = Inbox(settings.paths.inbox, settings.intake)
        self.anchor = Anchor(settings.paths.inbox, spool.root / "inbox.json")
        self._recovered = False
        self._waiting: dict[str, Job] = {}
        self._moving: dict[str, float] = {}
        self._peeks: dict[str, _Peek] = {}
        self._refused: dict[str, float] = {}
        self._present: list[Drop] = []

    def resume(self) -> int:
        """Go on with what a crash, a full disk or a missing inbox has cut short. Returns how many claims there were.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing` (whoever is accepted is told there).
        """
        self.outbox.check()
        with self.anchor.held():
            claims = self.claims.recover()
            if not self._recovered:
                self.recover()
                self._recovered = True
            return claims

    def look(self) -> list[Drop]:
        """Look at the whole inbox once. Touches nothing but the inbox and may take long, so it may run in a thread.

        Raises:
            MachineError: `inbox-missing`.
        """
        started = time.monotonic()
        with self.anchor.held():
            drops = self.inbox.look()
        self.events.scanned(time.monotonic() - started, len(drops))
        self._present = drops
        return drops

    def scan(self, drops: Sequence[Drop] | None = None) -> Iterator[list[Drop]]:
        """Batches of the drops that may be taken now, oldest first; an empty one where there was much to think about."""
        drops = self.look() if drops is None else drops
        self._forget_gone({drop.name for drop in drops})
        settled = sorted((drop for drop in drops if drop.settled), key=lambda drop: (drop.look.mtime_ns, drop.name))
        for start in range(0, len(settled), BATCH):
            yield [drop for drop in settled[start : start + BATCH] if self._complete(drop)]

    def take(self, drops: Sequence[Drop]) -> list[Job]:
        """Claim drops and make their jobs.

        Raises:
            MachineError: `inbox-missing`.
        """
        if not drops:
            return []
        with self.anchor.held():
            jobs = self.claims.take([(drop, self._id(drop)) for drop in drops])
        for drop in drops:
            if drop.name in self.claims.refused:
                self._refuse(drop)
            else:
                self._let_go(drop)
        return jobs

    def _id(self, drop: Drop) -> str:
        """The id a drop is claimed under: the one it waited under, unless an earlier file of that name became a job with it."""
        self._settle(drop.name)
        return self._waiting[drop.name].id if drop.name in self._waiting else new_id()

    def _let_go(self, drop: Drop) -> None:
        self.inbox.forget(drop.name)
        self._peeks.pop(drop.name, None)
        self._settle(drop.name)

    def _settle(self, name: str) -> None:
        """End the waiting of a manifest whose job is in the spool."""
        waiting = self._waiting.get(name)
        if waiting is not None and self.spool.find(waiting.id) is not None:
            del self._waiting[name]
            self._unwait(waiting, withdraw=self._vain(waiting))

    def _refuse(self, drop: Drop) -> None:
        """Tell people of a manifest that we may not move, and try again later; the others are taken meanwhile."""
        why = self.claims.refused.pop(drop.name)
        self._refused[drop.name] = self.inbox.now + REFUSED_S
        warning = f"The manifest cannot be moved out of its folder ({why}); give the service the right to write there."
        self._wait(drop, [], [warning])

    # -- what people ask for while a manifest is still theirs ----------------------------------------------------

    def waiting(self, job_id: str) -> str | None:
        """The path below the inbox of the manifest that waits for its files under this id."""
        return next((name for name, job in self._waiting.items() if job.id == job_id), None)

    def expected(self, *, read: bool = False) -> dict[str, list[str]]:
        """Manifests of the last look by the result names that are known to come from them; a file of several jobs gives
        more names than its own, with a number each. `read`: look also into those that have not been read yet.
        """
        names: dict[str, list[str]] = {}
        for drop in self._present:
            peek = self._peek(drop) if read else self._peeks.get(drop.name)
            for name in {drop.stem, *(peek.outputs if peek else ())}:
                names.setdefault(clean_stem(name), []).append(drop.name)
        return names

    def cancel(self, name: str) -> Job | None:
        """Take a manifest out of the inbox and make a cancelled job of it, durably. None: it is no manifest.

        Args:
            name: its path below the inbox.

        Raises:
            JobError: it is not in the inbox (any more), or may not be moved.
            MachineError: `inbox-missing`.
        """
        jobs: list[Job] = []
        with self.anchor.held():
            while not jobs and name not in self.claims.refused and name.lower().endswith(MANIFESTS):
                with open_inside(self.settings.paths.inbox, name):  # JobError when it is gone, or no file of its own
                    look = Look.at(self.settings.paths.inbox / name)
                if look is not None:  # else exchanged in this moment, as when `take` gives nothing
                    drop = Drop(name, look, True)
                    jobs = self.claims.take([(drop, self._id(drop))], cancelled=True)
        if name in self.claims.refused:
            why = self.claims.refused.pop(name)
            raise JobError("manifest-stuck", f"{name} cannot be moved out of its folder ({why}).", "Remove it by hand.")
        self._peeks.pop(name, None)
        self._settle(name)
        return jobs[0] if jobs else None

    # -- when to look again --------------------------------------------------------------------------------------

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

    def next_look(self) -> float:
        """Seconds until the inbox is worth a look without any notification; at most `intake.scan_s`."""
        limits, now = self.settings.intake, time.time()
        due = [limits.scan_s, *(job.since + limits.companion_wait_s - now for job in self._waiting.values())]
        if (still := self.inbox.next_still()) is not None:
            due.append(still)
        return max(LEAST_S, min(wait for wait in due if wait > 0))

    # -- waiting for the files a manifest names ------------------------------------------------------------------

    def recover(self) -> None:
        """Take up the manifests that waited when the daemon ended; forget those that are gone from the inbox."""
        for path in self.spool.waiting.glob(".*.tmp"):
            fs.remove(path)  # left by a crash
        for path in sorted(self.spool.waiting.glob("job-*.json")):
            try:
                job = Job.from_bytes(path.read_bytes())
            except (OSError, ValueError):
                fs.remove(path)
                continue
            source = str(job.facts.get("path", ""))
            there = source and os.path.lexists(self.settings.paths.inbox / source)
            if there and self.spool.find(job.id) is None:
                self._waiting[source] = job
            else:
                self._unwait(job, withdraw=self._vain(job))

    def _complete(self, drop: Drop) -> bool:
        """Whether every file the manifest names is there and still. One that is wrong altogether is taken, and fails."""
        if self.inbox.now < self._refused.get(drop.name, 0.0):
            return False
        unready = [name for name in self._peek(drop).files if not self.inbox.still(name)]
        if not unready:
            self._moving.pop(drop.name, None)
            return True
        # Files that are there need a second look like every other; that alone is not worth telling.
        first = self._moving.setdefault(drop.name, self.inbox.now)
        moving = [name for name in unready if os.path.lexists(self.settings.paths.inbox / name)]
        patient = self.inbox.now - first < self.settings.intake.settle_s * PATIENCE
        if drop.name not in self._waiting and len(moving) == len(unready) and patient:
            return False
        since = self._wait(drop, [printable(os.path.basename(name)) for name in unready])
        # A file that is still being written is never taken, however long it takes.
        return not moving and time.time() - since >= self.settings.intake.companion_wait_s

    def _peek(self, drop: Drop) -> _Peek:
        """What a manifest that still lies in the inbox asks for; read once as long as it does not change."""
        known = self._peeks.get(drop.name)
        if known is None or known.look != drop.look:
            manifests = self._manifests(drop)
            base = os.path.dirname(drop.name)
            files = dict.fromkeys(os.path.join(base, name) for manifest in manifests for name in manifest.files())
            known = _Peek(drop.look, list(files), [m.output for m in manifests if m.output])
            self._peeks[drop.name] = known
        return known

    def _manifests(self, drop: Drop) -> list[Manifest]:
        limits = self.settings.intake
        try:
            data = read_manifest(self.settings.paths.inbox, drop.name, limits.max_manifest_bytes)
        except (AvatarError, OSError):
            return []
        return [item for item in parse_safely(data, limits.max_documents) if isinstance(item, Manifest)]

    def _wait(self, drop: Drop, missing: list[str], warnings: Sequence[str] = ()) -> float:
        """Note durably that a manifest waits, so that a restart keeps its name and its clock. Returns since when."""
        job = self._waiting.get(drop.name)
        if job is None:
            now = time.time()
            job = Job(
                id=new_id(), name=drop.stem, source=printable(drop.name), state="waiting", accepted=now, since=now
            )
            job.facts = {"path": drop.name, "missing": missing}
            job.warnings = list(warnings)
            wanted = next(iter(self._peek(drop).outputs), drop.stem)
            job.name = self.outbox.reserve(wanted, job.id, describe(job))
            fs.replace_json(self.spool.waiting / f"{job.id}.json", job.to_json())
            self._waiting[drop.name] = job
            self.events.job_waiting(job, missing)
        elif (job.facts["missing"], job.warnings) != (missing, list(warnings)):
            job.facts["missing"], job.warnings = missing, list(warnings)
            fs.replace_json(self.spool.waiting / f"{job.id}.json", job.to_json(), durable=False)
            self.events.job_waiting(job, missing)
        return job.since

    def _forget_gone(self, present: set[str]) -> None:
        for memory in (self._moving, self._peeks, self._refused):
            for name in [name for name in memory if name not in present]:
                del memory[name]
        for name in [name for name in self._waiting if name not in present]:
            job = self._waiting.pop(name)
            self._unwait(job, withdraw=self._vain(job))

    def _vain(self, job: Job) -> bool:
        """Whether the name a manifest waited under is no job's: it was taken away, or its jobs have other names."""
        place = self.spool.find(job.id)
        if place is None:
            return True
        try:
            return self.spool.load(place).name != job.name
        except ValueError:
            return False

    def _unwait(self, job: Job, *, withdraw: bool) -> None:
        if withdraw:
            self.outbox.withdraw(job.name, job.id)
            self.events.job_withdrawn(job)
        fs.remove(self.spool.waiting / f"{job.id}.json")
