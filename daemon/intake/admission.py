"""Decides which manifests are claimed now, and keeps the others waiting until their files have arrived.

Everything except `waiting` and `next_look` touches users' files, so the daemon calls it in a `DiskThread`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from daemon.config import Settings
from daemon.errors import JobError, MachineError, Postponed
from daemon.events import Events
from daemon.intake.batches.dropped_tables import DroppedTables
from daemon.intake.claims import Claims
from daemon.intake.doors.brought_files import BroughtFiles
from daemon.intake.doors.hand_ins import HandIns
from daemon.intake.drop import Drop, Look
from daemon.intake.fair_queue import TURN_JOBS, FairQueue, Turn, owner_lines
from daemon.intake.file_writers import FileWriters
from daemon.intake.inbox_names import MANIFESTS
from daemon.intake.job_builder import JobBuilder, Post
from daemon.intake.manifest_contents import ManifestContents
from daemon.intake.result_names import ResultNames
from daemon.intake.scanner import InboxScanner
from daemon.intake.strays import Strays
from daemon.intake.waiting_manifests import WaitingManifests, WaitingNote
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.hand_in_record import HandInRecord, digest_of
from daemon.jobs.record import Job, new_job_id
from daemon.jobs.untrusted import printable
from daemon.outbox.outbox import Outbox
from daemon.queue.free_space import available_bytes, no_room_error
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.spool import Spool
from daemon.system.mount_guard import MountGuard
from daemon.system.permissions import user_name
from daemon.system.safe_open import open_inside

#: A manifest whose file still changes after this many settle times gets a status.
PATIENCE = 5
#: Most drops that are taken, or noted as waiting, in one batch; between two batches the daemon does its other work.
BATCH = 64
#: Most missing files that are searched and named for one manifest; the others follow when these are there.
MISSING = 10
#: Least time between two scans without a notification, in s.
LEAST_S = 0.01
#: Time between two looks for idempotency keys that are too old and files of doors that nothing needs, in s.
LITTER_EVERY_S = 3600.0
#: The same where it could not be told what is needed.
LITTER_AGAIN_S = 60.0
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
        self._hand_ins = HandIns(settings)
        self._brought = BroughtFiles(settings.paths.inbox, spool)
        self._litter_due = 0.0
        #: The records that hold for manifests, by the manifest's name, and the id that its job may have by it.
        self._handed_in: dict[str, tuple[HandInRecord, str]] = {}
        self._recovered = False
        self.strays = Strays(outbox, lambda: self.inbox, spool.root / "strays.json", self._is_used)
        self._waiting = WaitingManifests(spool, outbox, events, lambda: self.inbox, self._post)
        #: Since when manifests lack something, also those that nobody has been told of yet; by the inbox's clock, in s.
        self._incomplete: dict[str, float] = {}
        self._refused: dict[str, _Refused] = {}
        self._present: dict[str, Drop] = {}
        #: Since when the present manifests have been there, changed or not, by the inbox's clock, in s.
        self._first_seen: dict[str, float] = {}
        #: The result names that are known to come from manifests in the inbox.
        self.results = ResultNames()
        self._contents = ManifestContents(settings, lambda: self.inbox, self.results)
        #: Manifests that people are to be told of: durably, and so only after all that can be taken.
        self._unnoted: list[WaitingNote] = []
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
                self._incomplete.update(self._waiting.recover())
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
        drops = self._with_records(drops)
        # A manifest that was not read yet may name a table.
        named = self._contents.files() | self._hand_ins.brought(self.inbox.last_look)
        drops += self.tables.find(named, are_known=all(map(self._contents.is_read, drops)))
        self._present = {drop.name: drop for drop in drops}
        self._first_seen = {name: self._first_seen.get(name, self.inbox.now) for name in self._present}
        self.results.keep(set(self._present))
        for drop in drops:
            if drop.name not in self.results:
                self.results.expect(drop.name, [drop.stem])
        return drops

    def _with_records(self, drops: list[Drop]) -> list[Drop]:
        """Give the drops that a door handed in what its records say of them; those, and their files, count as whole at once."""
        if not self.inbox.records:
            self._hand_ins.match({}, {})
            self.inbox.vouch({})
            self._handed_in.clear()
            return drops
        found = self._hand_ins.match(self.inbox.records, {drop.name: drop for drop in drops})
        self.inbox.vouch({name: size for record in found.values() for name, size in record.files.items()})
        self._handed_in = {name: known for name, known in self._handed_in.items() if known[0] is found.get(name)}
        return [self._as_handed_in(drop, found[drop.name]) if drop.name in found else drop for drop in drops]

    def _as_handed_in(self, drop: Drop, record: HandInRecord) -> Drop:
        if os.path.lexists(self.claims.folder.path / record.job):
            return replace(
                drop, settled=False
            )  # the same job, handed in twice, is being taken in: see when that is done
        known = self._handed_in.get(drop.name)
        if known is None:
            job = record.job if self._may_have(record, drop) else ""
            known = self._handed_in[drop.name] = (record, job)
        return replace(drop, settled=True, job=known[1], by=self._hand_ins.by(record, drop.look.uid))

    def _may_have(self, record: HandInRecord, drop: Drop) -> bool:
        """Return whether a job may have the id that its door gave it: no job has it, or it is the same job handed in again, of
        which then nothing is made.
        """
        place = self.spool.find_job(record.job)
        if place is None:
            return True
        try:
            job = self.spool.load_job(place)
            digest = digest_of((place / "manifest.yaml").read_bytes())
        except (OSError, ValueError):
            return False
        by = self._hand_ins.by(record, drop.look.uid) or user_name(drop.look.uid)
        return (job.by, digest, job.source) == (by, record.sha256, printable(drop.name))

    def _clear_litter(self) -> None:
        """Remove what doors left that died before they handed in the manifest, a day later, and what they brought that nothing
        needs any more; only while it is known which files the manifests in the inbox name.
        """
        is_due, are_known = self.inbox.now >= self._litter_due, self.unread_since() == math.inf
        if not (is_due or (self.inbox.records and are_known)):
            return
        with self.mount_guard.held():
            present, named = self.inbox.looks(), self._contents.files() | set(self._present)
            if self.inbox.records and are_known:
                self._hand_ins.clear_litter(self.inbox.records, present, named, time.time())
            if is_due:
                self._hand_ins.clear_keys(time.time())
                # Where it is not known now it is looked at again soon, and what claims need lies in the inbox.
                ready = are_known and self.claims.next_try() is None
                self._litter_due = self.inbox.now + (LITTER_EVERY_S if ready else LITTER_AGAIN_S)
                if ready:
                    self._brought.clear(present, named | self._hand_ins.brought(self.inbox.last_look), time.time())

    def scan(self, drops: Sequence[Drop] | None = None) -> Iterator[list[Drop]]:
        """Yield batches of the drops that may be taken now, as far as one turn goes: one of each owner in turn.

        When all of them are given, manifests that wait are noted, also as far as one turn goes. `next_look` knows whether others
        are left.
        """
        drops = self.look() if drops is None else drops
        self._forget_gone({drop.name for drop in drops})
        self._queue.keep(sorted((drop for drop in drops if drop.settled), key=_arrival))
        left = available_bytes(self.settings)
        self._unnoted = [self._empty_note(drop) for drop in drops if self._tells_empty(drop)]
        batch: list[Drop] = []
        jobs = 0
        self._turn = Turn(self.inbox.clock)
        for drop in self._queue.serve(self._turn):
            if self._is_complete(drop, left):
                batch.append(drop)
                left -= self._contents.size(drop)
                jobs += self._contents.jobs(drop.name)
            if len(batch) == BATCH or jobs >= TURN_JOBS:
                yield batch
                batch, jobs = [], 0
        yield batch
        self._clear_litter()
        # Those whose time was over have been taken meanwhile.
        self._unnoted = [note for note in self._unnoted if note.drop.name in self._present]
        turn = Turn(self.inbox.clock)
        while self._unnoted and turn.has_room():
            now, self._unnoted = self._unnoted[:BATCH], self._unnoted[BATCH:]
            self._waiting.begin(now)
            turn.jobs += len(now)

    def _tells_empty(self, drop: Drop) -> bool:
        return not drop.settled and drop.name not in self._waiting and self.inbox.stays_empty(drop.name)

    def _empty_note(self, drop: Drop) -> WaitingNote:
        """Return what is told of a manifest that stays empty: a program may still fill it, so that it is not refused at once."""
        name, wait = printable(os.path.basename(drop.name)), self.settings.intake.empty_wait_s
        why = f"{name} is empty (0 bytes). Save the manifest again; if it stays empty for {wait:g} s, it is refused."
        return WaitingNote(drop, drop.stem, [], [why], self.inbox.now)

    def keep_back(self, drops: Sequence[Drop], why: str) -> None:
        """Leave manifests that may be taken in the inbox, and tell their people why; between two batches of `scan`.

        How long they are kept back does not count as waiting for their files, which are there.
        """
        for drop in drops:
            self._incomplete.pop(drop.name, None)
            if drop.name in self._waiting:
                self._waiting.change(drop.name, [], [why])
            else:
                wanted = self._contents.of(drop).output or drop.stem
                self._unnoted.append(WaitingNote(drop, wanted, [], [why], self.inbox.now))

    def take(self, drops: Sequence[Drop]) -> list[Job]:
        """Claim drops and make their jobs.

        Raises:
            MachineError: `inbox-missing`.
        """
        if not drops:
            return []
        limit = self.settings.intake.companion_wait_s
        with self.mount_guard.held():
            now = self.inbox.now
            waited = {drop.name for drop in drops if now - self._incomplete.get(drop.name, now) >= limit}
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
            self._incomplete,
            self._handed_in,
        )
        for memory in memories:
            memory.pop(name, None)
        self._waiting.end_if_accepted(name)

    def _refuse(self, drop: Drop) -> None:
        """Tell people of a manifest that we may not move, and try again later; the others are taken meanwhile."""
        why = self.claims.refused.pop(drop.name)
        known = self._refused.get(drop.name)
        delay = min(known.delay * 2, LONGEST_RETRY_S) if known else FIRST_RETRY_S
        self._refused[drop.name] = _Refused(self.inbox.now + delay, delay)
        self._wait(drop, [], [f"The manifest cannot be moved out of its folder ({why})."])

    # -- what people ask for while a manifest is still theirs ----------------------------------------------------

    def waiting(self, job_id: str) -> str | None:
        """Return the path below the inbox of the manifest that waits for its files under this id."""
        return self._waiting.name_of(job_id)

    def is_waiting(self, name: str) -> bool:
        """Return whether a manifest waits and people were told so; `name`: its path below the inbox."""
        return name in self._waiting

    def hold(self, job_id: str, held: dict[str, Any] | None) -> Job:
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
            raise JobError("job-not-held", f"{name} is not held, so that nothing is to be released.", "")
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
                    drop = replace(known, settled=True) if known and known.look == look else Drop(name, look, True)
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
        unfinished = self._unnoted or self._queue.unfinished or self._waiting.unfinished
        due = [LEAST_S if unfinished else limits.scan_s]
        due += [since + limits.companion_wait_s - now for since in list(self._incomplete.values())]
        due += [refused.due - now for refused in list(self._refused.values())]
        if (still := self.inbox.next_still()) is not None:
            due.append(still)
        if self.tables.next_s is not None:
            due.append(self.tables.next_s)
        if (again := self.claims.next_try()) is not None:
            due.append(max(LEAST_S, again))  # what is due already was left for the next turn
        return max(LEAST_S, min(wait for wait in due if wait > 0))

    # -- what a manifest names -------------------------------------------------------------------------------------

    def _is_complete(self, drop: Drop, left: float) -> bool:
        """Return whether every file the manifest names is there and whole, and fits into the `left` bytes. An invalid manifest
        counts as complete, so that it is taken and fails.
        """
        if drop.name in self._refused and self.inbox.now < self._refused[drop.name].due:
            return False
        contents = self._contents.of(drop)
        if contents.held:
            return self._waited_enough(self._wait(drop, [], [contents.held]))
        spelled = (self.inbox.spelled(name) for name in contents.files)
        lacking = list(islice((one for one in spelled if not self.inbox.still(one.name)), MISSING))
        unready = [one.name for one in lacking]
        if not unready:
            return self._fits(drop, left)
        # Files that are there need a second look like every other; that alone is not worth telling.
        first = self._incomplete.setdefault(drop.name, self.inbox.now)
        moving = [name for name in unready if self.inbox.last_look(name) is not None]
        patient = self.inbox.now - first < self.settings.intake.settle_s * PATIENCE
        if drop.name not in self._waiting and len(moving) == len(unready) and patient:
            return False
        names = {name: printable(os.path.basename(name)) for name in unready}
        notes = [f"{names[name]} is there, but it changes, or a program has it open for writing." for name in moving]
        notes += [hint for one in lacking if one.name not in moving and (hint := one.hint(drop.name))]
        since = self._wait(drop, list(names.values()), notes)
        # A file that is still being written is never taken, however long it takes.
        return not moving and self._waited_enough(since) and not any(map(self._is_moving, contents.files))

    def _is_moving(self, named: str) -> bool:
        name = self.inbox.spelled(named).name
        return not self.inbox.still(name) and self.inbox.last_look(name) is not None

    def _waited_enough(self, since: float) -> bool:
        return self.inbox.now - since >= self.settings.intake.companion_wait_s

    def _fits(self, drop: Drop, left: float) -> bool:
        """Return whether the files of a manifest fit on the spool's disk. One that waits for room delays no other."""
        if (size := self._contents.size(drop)) <= max(0.0, left):
            return True
        error = no_room_error(f"What {os.path.basename(drop.name)} needs", size, left)
        return self._waited_enough(self._wait(drop, [], [str(error)]))

    def _wait(self, drop: Drop, missing: list[str], warnings: Sequence[str] = ()) -> float:
        """Let a manifest wait from now on; people who have not been told are told when its turn comes. Returns since
        when it waits.
        """
        since = self._incomplete.setdefault(drop.name, self.inbox.now)
        if drop.name in self._waiting:
            self._waiting.change(drop.name, missing, warnings)
        else:
            wanted = self._contents.of(drop).output or drop.stem
            self._unnoted.append(WaitingNote(drop, wanted, missing, warnings, since))
        return since

    def _is_used(self, name: str) -> bool:
        """Return whether a table is named by a manifest in the inbox, or is a batch of its own."""
        return name in self._contents.files() or self.tables.is_batch(name)

    def _forget_gone(self, present: set[str]) -> None:
        memories: tuple[dict[str, Any], ...] = (self._incomplete, self._refused)
        for memory in memories:
            for name in [name for name in memory if name not in present]:
                del memory[name]
        self._contents.keep(present)
        self._waiting.keep(present)


def _lines(drop: Drop) -> tuple[Hashable, ...]:
    """Long manifests take longer to read, so they have a line of their own. One that was changed is another item."""
    return *owner_lines(drop.look.uid, drop.name), drop.look.size.bit_length() // 2, drop.name, drop.look


def _arrival(drop: Drop) -> tuple[int, str]:
    """Return the order of drops that one look has found: by a time that only the kernel sets."""
    return drop.look.ctime_ns, drop.name
