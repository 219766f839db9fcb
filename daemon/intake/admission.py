"""Decides which manifests are claimed now, and keeps the others waiting until their files have arrived.

Everything except `waiting` and `next_look` touches users' files, so the daemon calls it in a `DiskThread`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from daemon.config import Settings
from daemon.errors import JobError, MachineError, Postponed
from daemon.events import Events
from daemon.intake.batches.dropped_tables import DroppedTables
from daemon.intake.claims.claims import Claims
from daemon.intake.completeness import Completeness
from daemon.intake.doors.handed_in_drops import HandedInDrops
from daemon.intake.drop import Drop, Look
from daemon.intake.fair_queue import TURN_JOBS, FairQueue, Turn, owner_lines
from daemon.intake.file_writers import FileWriters
from daemon.intake.inbox_names import MANIFESTS
from daemon.intake.jobs.job_builder import JobBuilder, Post
from daemon.intake.manifest_contents import ManifestContents
from daemon.intake.result_names import ResultNames
from daemon.intake.scanner import InboxScanner
from daemon.intake.strays import Strays
from daemon.intake.waiting_manifests import WaitingManifests
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.record import Held, Job, new_job_id
from daemon.outbox.outbox import Outbox
from daemon.queue.free_space import available_bytes
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.spool import Spool
from daemon.system.mount_guard import MountGuard
from daemon.system.safe_open import open_inside

#: Most drops that are taken, or noted as waiting, in one batch; between two batches the daemon does its other work.
BATCH = 64
#: Least time between two scans without a notification, in s.
LEAST_S = 0.01
#: A manifest that could not be taken is tried again after this long at first, and at most, in s.
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0


@dataclass
class _Refused:
    """A manifest that could not be moved. Times are the inbox's clock's, in s."""

    due: float
    delay: float


class Admission:
    """Admits manifests from the inbox as jobs.

    Args:
        post: runs a call in the event loop; `ready_queue` and `events` are only touched there.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        outbox: Outbox,
        ready_queue: ReadyQueue,
        events: Events,
        post: Post | None = None,
    ) -> None:
        self.settings = settings
        self.spool = spool
        self.outbox = outbox
        self.events = events
        self._post = post or (lambda call, *args: call(*args))
        self.writers = FileWriters(os.path.realpath(settings.paths.inbox))
        self.inbox = InboxScanner(settings.paths.inbox, settings, writers=self.writers)
        builder = JobBuilder(settings, spool, outbox, ready_queue, events, lambda: self.inbox, self._clock, self._post)
        self.claims = Claims(settings, spool, builder, self._clock)
        self.mount_guard = MountGuard(settings.paths.inbox, spool.root / "inbox.json")
        self._handed_in = HandedInDrops(settings, spool, lambda: self.inbox, self.claims.folder.path)
        self._recovered = False
        self.strays = Strays(outbox, lambda: self.inbox, spool.root / "strays.json", self._is_used)
        self._waiting = WaitingManifests(spool, outbox, events, lambda: self.inbox, self._post)
        self._refused: dict[str, _Refused] = {}
        self._present: dict[str, Drop] = {}
        #: Since when the present manifests have been there, changed or not, by the inbox's clock, in s.
        self._first_seen: dict[str, float] = {}
        #: The result names that are known to come from manifests in the inbox.
        self.results = ResultNames()
        self._contents = ManifestContents(settings, lambda: self.inbox, self.results)
        self._completeness = Completeness(settings, lambda: self.inbox, self._contents, self._waiting)
        self.tables = DroppedTables(lambda: self.inbox, spool.root / "tables.json")
        self._queue: FairQueue[Drop] = FairQueue(_lines)
        self._turn = Turn()

    def _clock(self) -> float:
        """Return the time of the inbox's clock, in s; a test may give it another inbox."""
        return self.inbox.clock()

    def resume(self) -> int:
        """Resume what a crash, a full disk or a missing inbox interrupted. Returns the number of claims.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing` (whoever is accepted is told there).
        """
        self.outbox.check()
        with self.mount_guard.held():
            claims = self.claims.recover()
            if not self._recovered:
                self._completeness.resume(self._waiting.recover())
                self._recovered = True
            return claims

    def look(self) -> list[Drop]:
        """Look at the whole inbox once. Touches nothing but the inbox and may take long, so it may run in a thread.

        Raises:
            MachineError: `inbox-missing`.
        """
        started = time.monotonic()
        with self.mount_guard.held():
            drops = self.inbox.look()
        self._post(self.events.scanned, time.monotonic() - started, len(drops))
        drops = self._handed_in.with_records(drops)
        # A manifest that was not read yet may name a table.
        named = self._contents.files() | self._handed_in.brought()
        drops += self.tables.find(named, are_known=all(map(self._contents.is_read, drops)))
        self._present = {drop.name: drop for drop in drops}
        self._first_seen = {name: self._first_seen.get(name, self.inbox.now) for name in self._present}
        self.results.keep(set(self._present))
        for drop in drops:
            if drop.name not in self.results:
                self.results.expect(drop.name, [drop.stem])
        return drops

    def scan(self, drops: Sequence[Drop] | None = None) -> Iterator[list[Drop]]:
        """Yield batches of the drops that may be taken now, as far as one turn goes: one of each owner in turn.

        When all of them are given, manifests that wait are noted, also as far as one turn goes. `next_look` knows whether others
        are left.
        """
        drops = self.look() if drops is None else drops
        self._forget_gone({drop.name for drop in drops})
        self._queue.keep(sorted((drop for drop in drops if drop.settled), key=_arrival))
        left = available_bytes(self.settings)
        self._completeness.begin(drops)
        batch: list[Drop] = []
        jobs = 0
        self._turn = Turn(self.inbox.clock)
        for drop in self._queue.serve(self._turn):
            if not self._is_refused(drop) and self._completeness.is_complete(drop, left):
                batch.append(drop)
                left -= self._contents.size(drop)
                jobs += self._contents.jobs(drop.name)
            if len(batch) == BATCH or jobs >= TURN_JOBS:
                yield batch
                batch, jobs = [], 0
        yield batch
        self._clear_litter()
        # Those whose time was over have been taken meanwhile.
        self._completeness.tell(self._present.keys(), BATCH)

    def _clear_litter(self) -> None:
        """Remove what dead doors left, and what doors brought that nothing needs any more."""
        are_known = self.unread_since() == math.inf
        if self._handed_in.is_litter_due(are_known):
            with self.mount_guard.held():
                named = self._contents.files() | set(self._present)
                self._handed_in.clear_litter(named, are_known, self.claims.next_try() is not None)

    def _is_refused(self, drop: Drop) -> bool:
        """Return whether a manifest could not be moved, and its next try is not due."""
        return drop.name in self._refused and self.inbox.now < self._refused[drop.name].due

    def keep_back(self, drops: Sequence[Drop], why: str) -> None:
        """Leave manifests that may be taken in the inbox, and tell their people why; between two batches of `scan`."""
        self._completeness.keep_back(drops, why)

    def take(self, drops: Sequence[Drop]) -> list[Job]:
        """Claim drops and make their jobs.

        Raises:
            MachineError: `inbox-missing`.
        """
        if not drops:
            return []
        with self.mount_guard.held():
            waited = {drop.name for drop in drops if self._completeness.has_waited(drop.name)}
            defaults = {drop.name: self._contents.defaults(drop.name) for drop in drops}
            wanted = [(drop, self._id(drop)) for drop in drops]
            held = {drop.name: held for drop in drops if (held := self._waiting.held(drop.name)) is not None}
            self.tables.take([table for drop in drops for table in self._contents.tables(drop.name)])
            jobs = self.claims.take(wanted, waited=waited, defaults=defaults, held=held)
        for drop in drops:
            self._turn.jobs += self._contents.jobs(drop.name)
            if drop.name in self.claims.refused:
                self._refuse(drop)
            else:
                self.strays.were_read(self._contents.tables(drop.name))
                self._forget(drop.name)
        return jobs

    def _id(self, drop: Drop) -> str:
        """Return the id to claim a drop with: the one it waited under, if no earlier file of that name became a job with it."""
        self._waiting.end_if_accepted(drop.name)
        return self._waiting.id_of(drop.name) or drop.job or new_job_id()

    def _forget(self, name: str) -> None:
        self.inbox.forget(name)
        self.results.forget(name)
        self._contents.forget(name)
        memories: tuple[dict[str, Any], ...] = (
            self._present,
            self._first_seen,
            self._refused,
        )
        for memory in memories:
            memory.pop(name, None)
        self._completeness.forget(name)
        self._handed_in.forget(name)
        self._waiting.end_if_accepted(name)

    def _refuse(self, drop: Drop) -> None:
        """Tell people of a manifest that we may not move, and try again later; the others are taken meanwhile."""
        why = self.claims.refused.pop(drop.name)
        known = self._refused.get(drop.name)
        delay = min(known.delay * 2, LONGEST_RETRY_S) if known else FIRST_RETRY_S
        self._refused[drop.name] = _Refused(self.inbox.now + delay, delay)
        self._completeness.wait(drop, [], [f"The manifest cannot be moved out of its folder ({why})."])

    # -- what people ask for while a manifest is still theirs ----------------------------------------------------

    def waiting(self, job_id: str) -> str | None:
        """Return the path below the inbox of the manifest that waits for its files under this id."""
        return self._waiting.name_of(job_id)

    def is_waiting(self, name: str) -> bool:
        """Return whether a manifest waits and people were told so; `name`: its path below the inbox."""
        return name in self._waiting

    def hold(self, job_id: str, held: Held | None) -> Job:
        """Hold a manifest that waits, so that its jobs are held from their first moment; None: release it. Durable.

        Args:
            job_id: the id that it waits under.
            held: who holds it (`by`), why (`reason`), since when (`since`, seconds since the epoch).

        Raises:
            JobError: `job-waiting`: it is being taken in just now; `job-not-held`.
            MachineError: `inbox-missing`.
        """
        name = self._waiting.name_of(job_id)
        with self.mount_guard.held():
            there = name is not None and self.inbox.at(name) is not None
        if name is None or not there:
            raise JobError(
                "job-waiting", f"{name or job_id} is being taken in at this moment.", "Ask again in a few seconds."
            )
        if held is None and self._waiting.held(name) is None:
            raise JobError(
                "job-not-held",
                f"{name} is not held, so that nothing is to be released.",
                "Nothing needs to be done: it is taken in by itself when its files are there.",
            )
        return self._waiting.hold(name, held)

    def unread_since(self) -> float:
        """Since when the inbox has had a manifest whose result names are not known yet, by the inbox's clock, in s: it still
        changes, or its turn has not come. Infinite where there is none.
        """
        unread = (name for name, drop in self._present.items() if not self._contents.is_read(drop))
        return min((self._first_seen[name] for name in unread), default=math.inf)

    def cancel(self, name: str, by: str = "") -> Job | None:
        """Take a manifest out of the inbox and make a cancelled job of it, durably. None: it is no manifest.

        Args:
            name: its path below the inbox.
            by: who asked for it.

        Raises:
            JobError: it is not in the inbox (any more), or may not be moved.
            MachineError: `inbox-missing`.
        """
        jobs: list[Job] = []
        with self.mount_guard.held():
            while not jobs and name not in self.claims.refused and name.lower().endswith((*MANIFESTS, *TABLE_ENDINGS)):
                try:
                    with open_inside(
                        self.settings.paths.inbox, name
                    ) as fd:  # JobError when gone, or no file of its own
                        look: Look | None = Look.of(os.fstat(fd))
                except Postponed:  # somebody holds it; it is taken away all the same
                    look = self.inbox.at(name)
                if look is not None:  # else exchanged in this moment, as when `take` gives nothing
                    known = self._present.get(name)
                    if known is None or known.look != look:
                        known = self._handed_in.with_record(Drop(name, look, True))
                    drop = replace(known, settled=True)
                    jobs = self.claims.take([(drop, self._id(drop))], cancelled_by=by)
        if name in self.claims.refused:
            why = self.claims.refused.pop(name)
            raise JobError("manifest-stuck", f"{name} cannot be moved out of its folder ({why}).", "Remove it by hand.")
        self._forget(name)
        return jobs[0] if jobs else None

    # -- when to look again --------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Refuse new claims while the spool's disk is nearly full.

        Raises:
            MachineError: `disk-reserve`.
        """
        reserve = self.settings.intake.reserve_mb * 10**6
        if (free := available_bytes(self.settings) + reserve) < reserve:
            raise MachineError(
                "disk-reserve",
                f"Only {free / 1e6:.0f} MB are free on the spool's disk; {reserve / 1e6:.0f} MB are kept in reserve.",
                "Free some space; new jobs are then taken in by themselves.",
            )

    def next_look(self) -> float:
        """Return seconds until the inbox is worth a look without any notification; at most `intake.scan_s`."""
        limits, now = self.settings.intake, self.inbox.now
        unfinished = self._completeness.unnoted or self._queue.unfinished or self._waiting.unfinished
        due = [LEAST_S if unfinished else limits.scan_s]
        if (waited := self._completeness.next_s()) is not None:
            due.append(waited)
        due += [refused.due - now for refused in list(self._refused.values())]
        if (still := self.inbox.next_still()) is not None:
            due.append(still)
        if self.tables.next_s is not None:
            due.append(self.tables.next_s)
        if (again := self.claims.next_try()) is not None:
            due.append(max(LEAST_S, again))  # what is due already was left for the next turn
        return max(LEAST_S, min(wait for wait in due if wait > 0))

    def _is_used(self, name: str) -> bool:
        """Return whether a table is named by a manifest in the inbox, or is a batch of its own."""
        return name in self._contents.files() or self.tables.is_batch(name)

    def _forget_gone(self, present: set[str]) -> None:
        for name in self._refused.keys() - present:
            del self._refused[name]
        self._completeness.keep(present)
        self._contents.keep(present)
        self._waiting.keep(present)


def _lines(drop: Drop) -> tuple[Hashable, ...]:
    """Long manifests take longer to read, so they have a line of their own. One that was changed is another item."""
    return *owner_lines(drop.look.uid, drop.name), drop.look.size.bit_length() // 2, drop.name, drop.look


def _arrival(drop: Drop) -> tuple[int, str]:
    """Return the order of drops that one look has found: by a time that only the kernel sets."""
    return drop.look.ctime_ns, drop.name
