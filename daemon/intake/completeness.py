"""Decides whether the files of a manifest are there, whole, and fit on the disk, and for how long it has waited for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

from daemon.config import Settings
from daemon.intake.drop import Drop
from daemon.intake.fair_queue import Turn
from daemon.intake.manifest_contents import ManifestContents
from daemon.intake.scanner import InboxScanner
from daemon.intake.waiting_manifests import WaitingManifests, WaitingNote
from daemon.jobs.companions import NamedFile
from daemon.jobs.untrusted import printable
from daemon.queue.free_space import no_room_error

#: A manifest whose file still changes after this many settle times gets a status.
PATIENCE = 5
#: Most missing files that are searched and named for one manifest; the others follow when these are there.
MISSING = 10


class Completeness:
    """Lets manifests wait until they are complete.

    Args:
        inbox: gives the scanner of the inbox, whose clock counts.
        waiting: the manifests whose people were told.

    Attributes:
        unnoted: manifests that people are to be told of: durably, and so only after all that can be taken.
    """

    def __init__(
        self,
        settings: Settings,
        inbox: Callable[[], InboxScanner],
        contents: ManifestContents,
        waiting: WaitingManifests,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._contents = contents
        self._waiting = waiting
        self.unnoted: list[WaitingNote] = []
        #: Since when manifests lack something, also those that nobody has been told of yet; by the inbox's clock, in s.
        self._since: dict[str, float] = {}

    def resume(self, waited_since: Mapping[str, float]) -> None:
        """Go on with manifests that waited before a restart: since when each did, by its path below the inbox."""
        self._since.update(waited_since)

    def forget(self, name: str) -> None:
        """Forget since when a manifest waits; `name`: its path below the inbox."""
        self._since.pop(name, None)

    def keep(self, present: set[str]) -> None:
        """Forget all manifests but the present ones."""
        for name in self._since.keys() - present:
            del self._since[name]

    def has_waited(self, name: str) -> bool:
        """Return whether a manifest has waited for as long as it may."""
        return self._waited_enough(self._since.get(name, self._inbox().now))

    def next_s(self) -> float | None:
        """Return in how many seconds the next wait is over; None where no manifest waits, or each has waited enough."""
        limit, now = self._settings.intake.companion_wait_s, self._inbox().now
        return min((wait for since in list(self._since.values()) if (wait := since + limit - now) > 0), default=None)

    def begin(self, drops: Sequence[Drop]) -> None:
        """Begin a scan of these drops: forget whom people were to be told of, and note the manifests that stay empty."""
        self.unnoted = [self._empty_note(drop) for drop in drops if self._tells_empty(drop)]

    def _tells_empty(self, drop: Drop) -> bool:
        return not drop.settled and drop.name not in self._waiting and self._inbox().stays_empty(drop.name)

    def _empty_note(self, drop: Drop) -> WaitingNote:
        """Return what is told of a manifest that stays empty: a program may still fill it, so that it is not refused at once."""
        name, wait = printable(os.path.basename(drop.name)), self._settings.intake.empty_wait_s
        why = f"{name} is empty (0 bytes). Save the manifest again; if it stays empty for {wait:g} s, it is refused."
        return WaitingNote(drop, drop.stem, [], [why], self._inbox().now)

    def keep_back(self, drops: Sequence[Drop], why: str) -> None:
        """Leave manifests that may be taken in the inbox, and tell their people why; between two batches of `scan`.

        How long they are kept back does not count as waiting for their files, which are there.
        """
        for drop in drops:
            self._since.pop(drop.name, None)
            if drop.name in self._waiting:
                self._waiting.change(drop.name, [], [why])
            else:
                wanted = self._contents.of(drop).output or drop.stem
                self.unnoted.append(WaitingNote(drop, wanted, [], [why], self._inbox().now))

    def tell(self, present: Collection[str], batch: int) -> None:
        """Tell people of manifests that begin to wait and are still present, as far as one turn goes.

        Args:
            batch: how many are noted at a time.
        """
        self.unnoted = [note for note in self.unnoted if note.drop.name in present]
        turn = Turn(self._inbox().clock)
        while self.unnoted and turn.has_room():
            now, self.unnoted = self.unnoted[:batch], self.unnoted[batch:]
            self._waiting.begin(now)
            turn.jobs += len(now)

    def is_complete(self, drop: Drop, left: float) -> bool:
        """Return whether every file the manifest names is there and whole, and fits into the `left` bytes. An invalid manifest
        counts as complete, so that it is taken and fails.
        """
        contents = self._contents.of(drop)
        if contents.held:
            return self._waited_enough(self.wait(drop, [], [contents.held]))
        spelled = (self._inbox().spelled(*file) for file in contents.files)
        lacking = list(islice((one for one in spelled if not self._inbox().still(one.name)), MISSING))
        unready = [one.name for one in lacking]
        if not unready:
            return self._fits(drop, left)
        # Files that are there need a second look like every other; that alone is not worth telling.
        first = self._since.setdefault(drop.name, self._inbox().now)
        moving = [name for name in unready if self._inbox().last_look(name) is not None]
        patient = self._inbox().now - first < self._settings.intake.settle_s * PATIENCE
        if drop.name not in self._waiting and len(moving) == len(unready) and patient:
            return False
        names = {name: printable(os.path.basename(name)) for name in unready}
        notes = [f"{names[name]} is there, but {self._moving(name)}." for name in moving]
        notes += [hint for one in lacking if one.name not in moving and (hint := one.hint(drop.name))]
        since = self.wait(drop, list(names.values()), notes)
        # A file that is still being written is never taken, however long it takes.
        return not moving and self._waited_enough(since) and not any(map(self._is_moving, contents.files))

    def _moving(self, name: str) -> str:
        """Return why a file that is there is not taken yet."""
        look = self._inbox().last_look(name)
        is_empty = look is not None and look.size == 0
        return "it is empty (0 bytes)" if is_empty else "it changes, or a program has it open for writing"

    def _is_moving(self, named: NamedFile) -> bool:
        name = self._inbox().spelled(*named).name
        return not self._inbox().still(name) and self._inbox().last_look(name) is not None

    def _waited_enough(self, since: float) -> bool:
        return self._inbox().now - since >= self._settings.intake.companion_wait_s

    def _fits(self, drop: Drop, left: float) -> bool:
        """Return whether the files of a manifest fit on the spool's disk. One that waits for room delays no other."""
        if (size := self._contents.size(drop)) <= max(0.0, left):
            return True
        error = no_room_error(f"What {os.path.basename(drop.name)} needs", size, left)
        return self._waited_enough(self.wait(drop, [], [str(error)]))

    def wait(self, drop: Drop, missing: list[str], warnings: Sequence[str] = ()) -> float:
        """Let a manifest wait from now on; people who have not been told are told when its turn comes. Returns since
        when it waits.
        """
        since = self._since.setdefault(drop.name, self._inbox().now)
        if drop.name in self._waiting:
            self._waiting.change(drop.name, missing, warnings)
        else:
            wanted = self._contents.of(drop).output or drop.stem
            self.unnoted.append(WaitingNote(drop, wanted, missing, warnings, since))
        return since
