"""Gives the manifests in the inbox what the records of the doors say of them, and clears what dead doors left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from daemon.config import Settings
from daemon.intake.doors.brought_files import BroughtFiles
from daemon.intake.doors.hand_ins import HandIns
from daemon.intake.drop import Drop
from daemon.intake.scanner import InboxScanner
from daemon.jobs.hand_in_record import HandInRecord, digest_of
from daemon.jobs.untrusted import printable
from daemon.queue.spool import Spool
from daemon.system.permissions import user_name

#: Time between two looks for idempotency keys that are too old and files of doors that nothing needs, in s.
LITTER_EVERY_S = 3600.0
#: The same where it could not be told what is needed.
LITTER_AGAIN_S = 60.0


class HandedInDrops:
    """Knows which manifests in the inbox a door handed in.

    Args:
        inbox: gives the scanner of the inbox.
        claimed: the folder of the claims.
    """

    def __init__(self, settings: Settings, spool: Spool, inbox: Callable[[], InboxScanner], claimed: Path) -> None:
        self._spool = spool
        self._inbox = inbox
        self._claimed = claimed
        self._hand_ins = HandIns(settings)
        self._brought = BroughtFiles(settings.paths.inbox, spool)
        self._litter_due = 0.0
        #: The records that hold for manifests, by the manifest's name, and the id that its job may have by it.
        self._handed_in: dict[str, tuple[HandInRecord, str]] = {}

    def forget(self, name: str) -> None:
        """Forget a manifest; `name`: its path below the inbox."""
        self._handed_in.pop(name, None)

    def brought(self) -> set[str]:
        """Return the files that doors bring for manifests which are not there yet."""
        return self._hand_ins.brought(self._inbox().last_look)

    def with_records(self, drops: list[Drop]) -> list[Drop]:
        """Give the drops that a door handed in what its records say of them; those, and their files, count as whole at once."""
        if not self._inbox().records:
            self._hand_ins.match({}, {})
            self._inbox().vouch({})
            self._handed_in.clear()
            return drops
        found = self._hand_ins.match(self._inbox().records, {drop.name: drop for drop in drops})
        self._inbox().vouch({name: size for record in found.values() for name, size in record.files.items()})
        self._handed_in = {name: known for name, known in self._handed_in.items() if known[0] is found.get(name)}
        return [self._as_handed_in(drop, found[drop.name]) if drop.name in found else drop for drop in drops]

    def with_record(self, drop: Drop) -> Drop:
        """As `with_records` for one drop, by a look of its own: the inbox may not have been looked at since it came."""
        found = self._hand_ins.match(self._hand_ins.present(), {drop.name: drop}).get(drop.name)
        return drop if found is None else self._as_handed_in(drop, found)

    def _as_handed_in(self, drop: Drop, record: HandInRecord) -> Drop:
        if os.path.lexists(self._claimed / record.job):
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
        place = self._spool.find_job(record.job)
        if place is None:
            return True
        try:
            job = self._spool.load_job(place)
            digest = digest_of((place / "manifest.yaml").read_bytes())
        except (OSError, ValueError):
            return False
        by = self._hand_ins.by(record, drop.look.uid) or user_name(drop.look.uid)
        return (job.by, digest, job.source) == (by, record.sha256, printable(drop.name))

    def is_litter_due(self, are_known: bool) -> bool:
        """Return whether it is time to clear; `are_known`: whether it is known which files the manifests in the inbox name."""
        return self._inbox().now >= self._litter_due or (bool(self._inbox().records) and are_known)

    def clear_litter(self, named: set[str], are_known: bool, are_claimed: bool) -> None:
        """Remove what doors left that died before they handed in the manifest, a day later; from time to time also old
        idempotency keys, and what doors brought that nothing needs any more.

        Args:
            named: the manifests in the inbox, and all files that they name.
            are_known: whether that is true of all of them; else only keys and temporary files are removed.
            are_claimed: whether manifests that were taken out of the inbox still wait for their jobs to be made.
        """
        inbox, now = self._inbox(), time.time()
        present = inbox.looks()
        if inbox.records and are_known:
            self._hand_ins.clear_litter(inbox.records, present, named, now)
        if inbox.now < self._litter_due:
            return
        self._hand_ins.clear_keys(now)
        self._brought.clear_temporary(now)
        # Where it is not known now it is looked at again soon, and what claims need lies in the inbox.
        is_safe = are_known and not are_claimed
        self._litter_due = inbox.now + (LITTER_EVERY_S if is_safe else LITTER_AGAIN_S)
        if is_safe:
            self._brought.clear(present, named | self.brought(), now)
