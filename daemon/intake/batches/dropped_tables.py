"""Finds the tables in the inbox that are batches of their own: no manifest there names them, and their columns are keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from daemon.errors import JobError, Postponed
from daemon.intake.drop import Drop, Look
from daemon.intake.scanner import InboxScanner
from daemon.jobs.batch.alone import batch_of, is_table
from daemon.system.json_files import replace_json
from daemon.system.safe_open import open_inside

#: For so long a table waits for a manifest that names it, s: the two come one after the other.
ALONE_S = 5.0
#: Where manifests have not been read yet, it is looked again after this long, s.
NEXT_S = 1.0


class DroppedTables:
    """Remembers which tables are batches, each as long as it does not change.

    Args:
        inbox: gives the scanner of the inbox.
        memory: file in the spool with the tables that a manifest was taken with, and how they looked.
    """

    def __init__(self, inbox: Callable[[], InboxScanner], memory: Path) -> None:
        self._inbox = inbox
        self._memory = memory
        #: Tables that a manifest was taken with: inode, size and time of each. They stay in the inbox, and are no batch again.
        self._read: dict[str, list[int]] | None = None
        self._known: dict[str, tuple[Look, bool]] = {}
        #: Seconds from the last look until a table has waited long enough; None where none waits.
        self.next_s: float | None = None

    def take(self, names: Iterable[str]) -> None:
        """Note, durably, that a manifest is about to be taken with these tables, by their path below the inbox.

        Raises:
            OSError: it cannot be noted.
        """
        looks = {name: look for name in names if (look := self._inbox().last_look(name)) is not None}
        if looks:
            self._read = {**self._remembered(), **{name: list(look[:3]) for name, look in looks.items()}}
            replace_json(self._memory, self._read)

    def find(self, named: Container[str], *, are_known: bool) -> list[Drop]:
        """Return the tables of the last look that are batches of their own.

        Args:
            named: paths below the inbox of the files that manifests there name.
            are_known: whether all of these are known; else none is returned yet.
        """
        inbox = self._inbox()
        tables = [name for name in inbox.others if is_table(name) and name not in named and inbox.still(name)]
        read = self._read = {name: look for name, look in self._remembered().items() if name in inbox.others}
        self._known = {name: self._known[name] for name in tables if name in self._known}
        drops = []
        self.next_s = None
        for name in tables:
            look = inbox.last_look(name)
            if look is None or read.get(name) == list(look[:3]) or not self._is_batch(name, look):
                continue
            left = max(ALONE_S - inbox.still_s(name), 0.0 if are_known else NEXT_S)
            if left > 0:
                self.next_s = min(left, self.next_s or left)
            else:
                drops.append(Drop(name, look, settled=True))
        return drops

    def is_batch(self, name: str) -> bool:
        """Return whether a table was found to be a batch of its own."""
        return name in self._known and self._known[name][1]

    def _remembered(self) -> dict[str, list[int]]:
        if self._read is not None:
            return self._read
        try:
            value = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _is_batch(self, name: str, look: Look) -> bool:
        if name not in self._known or self._known[name][0] != look:
            try:
                with open_inside(self._inbox().root, name) as fd:
                    found = batch_of(Path(f"/proc/self/fd/{fd}"), os.path.basename(name)) is not None
            except (JobError, Postponed, OSError):
                found = False
            self._known[name] = look, found
        return self._known[name][1]
