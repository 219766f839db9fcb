"""Looks at the inbox: finds the manifests that lie there, and whether they and their files are whole.

A file is still when two looks, some time apart, found the same inode, size and times. How far apart depends on what is known
of its writers (`FileWriters`): `settle_s` after the writer has closed it; where nobody tells, `settle_unknown_s` and longer
with its size, since a client that writes in bursts stands still between them, and then the kernel is asked; and while a
writer has it open, `companion_wait_s`. A file that got its name by a rename is whole at once where nobody has it open for
writing. Times in the file are only compared with themselves, so a clock that is wrong (a file server's, say) does not matter.
Every file is looked at, so that a picture and the manifest that names it settle in the same time, and nothing is read before
it is still.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from daemon.config import Settings
from daemon.intake.companion_names import CompanionNames, Spelled
from daemon.intake.drop import Drop, Look
from daemon.intake.file_writers import FileWriters, Heard, Writing
from daemon.intake.inbox_names import (
    MANIFESTS,
    REQUEST_ENDINGS,
    is_conflict_copy,
    is_defaults,
    is_only_ending,
    is_passed_over,
)
from daemon.jobs.hand_in_record import job_of
from daemon.system.safe_open import open_below, opened_root
from daemon.system.subfolders import INBOX_DEPTH
from daemon.system.writers import is_written_below

log = structlog.get_logger()


class Seen(NamedTuple):
    """A file as the looks so far have found it: what it looked like, what is known of its writers, and since when that is so.

    `whole`: its name came by a rename, and nobody writes to it. `vouched`: the door that wrote it says that it is whole. `asked`:
    nothing was heard of its writers, and when it had settled the kernel told of none.
    """

    look: Look
    heard: Heard
    since: float
    writing: Writing
    whole: bool = False
    vouched: bool = False
    asked: bool = False


class InboxScanner:
    """Looks at the inbox, and remembers what each file looked like and since when. Times are in s, by `clock`."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        writers: FileWriters | None = None,
    ) -> None:
        self.root = root
        self._settings = settings
        self.clock = clock
        self._writers = writers or FileWriters(os.path.realpath(root))
        #: The time of the last look.
        self.now = clock()
        self._seen: dict[str, Seen] = {}
        self._asked: set[str] = set()
        #: Files that were asked for since the last look and are not there: thousands of manifests may lack the same one.
        self._absent: set[str] = set()
        #: Files such as `hello.cancel` found by the last look: requests of people who have only the folder.
        self.requests: list[str] = []
        #: Other files found by the last look, by their path below the inbox.
        self.others: list[str] = []
        #: Records of doors found by the last look (`daemon/intake/doors/hand_ins.py`), by their name.
        self.records: dict[str, Look] = {}
        #: Bytes of the files that doors say are whole, by their path below the inbox.
        self._vouched: dict[str, int] = {}
        #: Files of defaults found by the last look, by folder; both by their path below the inbox.
        self.defaults: dict[str, list[str]] = {}
        #: Folders that were not looked into because they lie too deep.
        self.too_deep: set[str] = set()
        #: Names that were looked up since the last look.
        self._names = CompanionNames(root)
        #: Folders found by the last look, by their path below the inbox.
        self.folders: list[str] = []
        #: Folders that cannot be looked into, by their path below the inbox, and why; each is logged once.
        self.closed: dict[str, str] = {}

    def look(self) -> list[Drop]:
        """Look at every file once; returns the manifests.

        Raises:
            OSError: the inbox cannot be opened.
        """
        self.now = self.clock()
        before, seen, self._seen = self._seen, {}, {}
        drops: list[Drop] = []
        requests: list[str] = []
        others: list[str] = []
        defaults: dict[str, list[str]] = {}
        self.too_deep, self._names = set(), CompanionNames(self.root)
        closed: dict[str, str] = {}
        self.folders, self.records = [], {}
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name, look in self._files(root, root, "", 0, closed):
                seen[name] = self._note(root, name, look, before.get(name))
                if is_conflict_copy(os.path.basename(name)) or is_only_ending(os.path.basename(name)):
                    others.append(name)
                elif is_defaults(os.path.basename(name)):
                    defaults.setdefault(os.path.dirname(name), []).append(name)
                elif name.lower().endswith(MANIFESTS):
                    drops.append(Drop(name, look, self._seconds_left(seen[name]) <= 0))
                elif name.lower().endswith(REQUEST_ENDINGS):
                    requests.append(name)
                else:
                    others.append(name)
            for name in self._asked - seen.keys():
                if (look_again := self._look_below(root, name)) is not None:
                    seen[name] = self._note(root, name, look_again, before.get(name))
        finally:
            os.close(root)
        self.others, self.defaults = others, defaults
        self._seen, self.requests, self._asked, self._absent = seen, requests, set(), set()
        self._writers.keep(set(seen))
        self._log_closed(closed)
        return drops

    def _files(
        self, root: int, folder: int, prefix: str, depth: int, closed: dict[str, str]
    ) -> Iterator[tuple[str, Look]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_passed_over(entry.name):
                    if not prefix and job_of(entry.name) is not None:
                        with contextlib.suppress(OSError):  # removed while we looked
                            self.records[entry.name] = Look.of(entry.stat(follow_symlinks=False))
                    continue
                name = prefix + entry.name
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        yield name, Look.of(entry.stat(follow_symlinks=False))
                    elif depth < INBOX_DEPTH:
                        yield from self._folder(root, name, depth, closed)
                    else:
                        self.too_deep.add(name)
                except FileNotFoundError:
                    continue  # moved away while we looked
                except OSError as exc:  # one folder or file of somebody's; the others are looked at
                    closed[name] = exc.strerror or type(exc).__name__

    def _folder(self, root: int, name: str, depth: int, closed: dict[str, str]) -> Iterator[tuple[str, Look]]:
        """Yield the files of a folder below the inbox. One that is a mount is refused: what lies there cannot be claimed by a
        rename, and a dead one would not answer.
        """
        below = open_below(root, name, os.O_RDONLY | os.O_DIRECTORY)
        self.folders.append(name)
        try:
            yield from self._files(root, below, f"{name}/", depth + 1, closed)
        finally:
            os.close(below)

    def _log_closed(self, closed: dict[str, str]) -> None:
        for name in sorted(closed.keys() - self.closed.keys()):
            log.warning("folder not looked into", folder=name, why=closed[name])
        self.closed = closed

    def _note(self, root: int, name: str, look: Look, known: Seen | None) -> Seen:
        heard = self._writers.heard(name)
        if known is not None and known.look == look and known.heard == heard:
            # A renamed file may be closed without a notification, and of unknown writers the kernel is asked when the file has
            # settled; everything else that is known stays true.
            asks = known.writing in (Writing.OPEN, Writing.UNKNOWN)
            return self._with_writers(root, name, known) if asks else known
        fresh = Seen(look, heard, self.now, heard.writing)
        if known is not None and known.heard == heard and _is_renamed(fresh):
            # The notification is late: the file changed after its rename, so somebody writes to it.
            return fresh._replace(writing=Writing.CLOSED)
        return self._with_writers(root, name, fresh)

    def _with_writers(self, root: int, name: str, seen: Seen) -> Seen:
        """Return what is known of a file, and what the kernel tells of its writers where it would count as whole soon."""
        unknown = seen.heard.writing is Writing.UNKNOWN
        if unknown and (seen.asked or self._seconds_left(seen._replace(writing=Writing.UNKNOWN)) > 0):
            return seen
        if not unknown and not _is_renamed(seen) and seen.heard.writing is not Writing.CLOSED:
            return seen
        # What a program holds by a lease is told of by the intake, which cannot read it.
        written = is_written_below(root, name, leased=None if unknown else True)
        if written:  # also by one who opened it before the watch, and of two who opened it at once, heard of as one
            if unknown and seen.writing is not Writing.OPEN:  # nobody heard that it was opened: say why it waits, once
                log.info(
                    "file still open in another program",
                    file=name, hint="It counts as whole when that program closes it.",
                    waits_s=self._settings.intake.companion_wait_s,
                )  # fmt: skip
            return seen._replace(writing=Writing.OPEN)
        if unknown:
            return seen._replace(writing=Writing.UNKNOWN, asked=True)
        if not _is_renamed(seen):
            return seen._replace(writing=seen.heard.writing)
        writing = seen.heard.writing
        return seen._replace(writing=writing, whole=written is False or writing is Writing.RENAMED)

    def _look_below(self, root: int, name: str) -> Look | None:
        try:
            fd = open_below(root, name, os.O_PATH | os.O_NOFOLLOW)
        except (OSError, ValueError):
            return None
        try:
            return Look.of(os.fstat(fd))
        finally:
            os.close(fd)

    def at(self, name: str) -> Look | None:
        """Return what a file looks like at this moment; None where it is not there, or behind a link or a mount."""
        try:
            with opened_root(self.root) as root:
                return self._look_below(root, name)
        except OSError:
            return None

    def vouch(self, files: Mapping[str, int]) -> None:
        """Take files for whole as long as they have so many bytes and nobody writes to them; replaces what was said before.

        Args:
            files: path below the inbox → bytes.
        """
        self._vouched = dict(files)
        for name, seen in self._seen.items():
            if seen.vouched or name in files:
                self._seen[name] = self._as_vouched(name, seen)

    def _as_vouched(self, name: str, seen: Seen) -> Seen:
        return seen._replace(vouched=self._vouched.get(name) == seen.look.size)

    def still(self, name: str) -> bool:
        """Return whether a file that a manifest names is there and whole. Links count as still: opening refuses them."""
        if name not in self._seen:  # new since the look, or under a name or in a folder that is not looked at
            look = self.at(name) if name not in self._absent else None
            if look is None:
                self._absent.add(name)
                return False
            with opened_root(self.root) as root:
                seen = self._note(root, name, look, None)._replace(since=self.clock())
            self._seen[name] = self._as_vouched(name, seen)
        self._asked.add(name)
        return self._seconds_left(self._seen[name]) <= 0

    def spelled(self, name: str, key: str) -> Spelled:
        """Find a file that a manifest names, also where its name is written otherwise (see `CompanionNames.find`).

        Args:
            name: path below the inbox.
            key: the key that names it.
        """
        return Spelled(name, name) if name in self._seen else self._names.find(name, key)

    def resembling(self, name: str) -> tuple[str, ...]:
        """Return the names of files in the folder of `name` that resemble it, the most alike first."""
        return self._names.resembling(name)

    def is_open(self, name: str) -> bool:
        """Return whether somebody has a file open for writing, as far as is known. May be called in any thread."""
        if self._writers.of(name) is Writing.OPEN:
            return True
        try:
            with opened_root(self.root) as root:
                return bool(is_written_below(root, name))
        except OSError:
            return False

    def size(self, name: str) -> int:
        """Return the bytes of a file at the last look; 0 where it is not known, or is no file."""
        return max(0, self._seen[name].look.size) if name in self._seen else 0

    def whole_in(self, name: str, now: Look) -> float:
        """Return in how many seconds a file that looks like `now` counts as whole if nobody changes it: 0 where it does, or was
        not looked at; infinity while somebody writes to it.
        """
        seen = self._seen.get(name)
        if seen is None:
            return 0.0
        left = max(0.0, self._seconds_left(seen))
        # One that is held open counts as whole, too, when it was waited for long enough.
        written = (left and seen.writing is Writing.OPEN) or not seen.look.same_content(now)
        return math.inf if written else left

    def looks(self) -> dict[str, Look]:
        """Return what the last look found, by path below the inbox."""
        return {name: seen.look for name, seen in self._seen.items()}

    def last_look(self, name: str) -> Look | None:
        """Return what a file looked like at the last look; None where it is not known."""
        return self._seen[name].look if name in self._seen else None

    def still_s(self, name: str) -> float:
        """Return how long a file has been seen unchanged, in s."""
        return self.clock() - self._seen[name].since if name in self._seen else 0.0

    def _seconds_left(self, seen: Seen) -> float:
        """Return the seconds from the last look until a file counts as whole, if it does not change."""
        return seen.since + wait - self.now if (wait := self._settle_s(seen)) else 0.0

    def _settle_s(self, seen: Seen) -> float:
        limits = self._settings.intake
        if seen.writing is Writing.OPEN:
            return limits.companion_wait_s
        if seen.vouched:
            return 0.0
        wait = 0.0 if seen.whole else limits.settle_s
        if seen.writing is Writing.UNKNOWN:
            wait = max(wait, limits.unknown_writer_s(seen.look.size))
        # Some programs create a file long before they fill it.
        return max(wait, limits.empty_wait_s) if seen.look.size == 0 else wait

    def stays_empty(self, name: str) -> bool:
        """Return whether a file has been seen empty for longer than it takes to fill one, and may still be filled."""
        seen = self._seen.get(name)
        return seen is not None and self._empty_left(seen) <= 0 < self._seconds_left(seen)

    def _empty_left(self, seen: Seen) -> float:
        """Return the seconds from the last look until a file that is still empty is told of; endless for one that is not."""
        if seen.look.size > 0 or seen.writing is Writing.OPEN:
            return math.inf
        return seen.since + self._settings.intake.settle_s - self.now

    def next_still(self) -> float | None:
        """Return the seconds from the last look until the next file is whole, or is told to be empty; None if none waits for
        that.
        """
        known = list(self._seen.values())
        lefts = (left for wait in (self._seconds_left, self._empty_left) for left in map(wait, known))
        return min((left for left in lefts if 0 < left < math.inf), default=None)

    def forget(self, name: str) -> None:
        """Forget a file that was taken out of the inbox."""
        self._seen.pop(name, None)


def _is_renamed(seen: Seen) -> bool:
    """Return whether a file got its name by a rename, and was not seen to be written to since."""
    return seen.heard.writing in (Writing.RENAMED, Writing.MOVED_IN)
