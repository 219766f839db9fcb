"""Tracks which files in the inbox are open for writing, as far as the kernel's notifications tell.

inotify tells of every file that is made, written to and closed after writing, also where a file server on this machine is the
writer. A file that was made or written to and not closed yet is not whole, however still it stands. What happened before the
watch, on a network mount, or while notifications were lost is not known; then only time can tell.

Programs that do not want half a file to be read write it under another name, close it, and rename it. A file that was seen to be
made, closed and then renamed is whole. Of one that was renamed into the inbox from elsewhere, its writers were not seen there.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from watchdog.events import FileSystemEvent


class Writing(Enum):
    """What is known of a file's writers."""

    #: Nothing was heard that tells.
    UNKNOWN = "unknown"
    #: It was written to, and somebody who may be its writer has it open.
    OPEN = "open"
    #: All who wrote to it have closed it.
    CLOSED = "closed"
    #: It was moved in from elsewhere, where its writers were not seen; nobody has written to it since.
    MOVED_IN = "moved in"
    #: It was made here, all who wrote to it have closed it, and then it was renamed; nobody has written to it since.
    RENAMED = "renamed"


class Heard(NamedTuple):
    """What is known of a file's writers, and the number of the rename that gave it its name (0: none was heard)."""

    writing: Writing = Writing.UNKNOWN
    rename: int = 0
    kept: bool = False


@dataclass
class _File:
    """What was heard of one file.

    Attributes:
        opens: how many have it open. The kernel tells of two equal events in a row once, so it may be too low or too high: a
            file is never taken for closed, nor for open without end, by this alone.
        closing: a writer has closed it while somebody else had it open, who may be a reader or another writer.
        made: it was made while the folder was watched, so that all its writers were heard of.
        rename: the number of the rename that gave it its name; 0: none was heard.
        kept: that it is open is all that is known from before notifications were lost.
    """

    state: Writing = Writing.UNKNOWN
    opens: int = 0
    closing: bool = False
    made: bool = False
    rename: int = 0
    kept: bool = False


class FileWriters:
    """Follows the notifications of one folder; one thread may report them while another one asks."""

    def __init__(self, root: str) -> None:
        self._prefix = root.rstrip(os.sep) + os.sep
        self._lock = threading.Lock()
        self._known: dict[str, _File] = {}
        self._doubted = False
        #: Names that the last look did not find.
        self._missed: set[str] = set()
        self._renames = 0

    def heard(self, name: str) -> Heard:
        """Return what is known of a file and its name, by its path below the folder."""
        known = self._known.get(name)
        return Heard(known.state, known.rename) if known else Heard()

    def of(self, name: str) -> Writing:
        """Return what is known of a file, by its path below the folder."""
        return self.heard(name).writing

    def hear(self, event: FileSystemEvent) -> bool:
        """Take in one notification about a file. Returns whether something else is known of the file now."""
        name = self._name(event.src_path)
        with self._lock:
            if self._doubted:
                return False
            if event.event_type == "moved":
                self._move(name, self._name(event.dest_path))
                return True
            if name is None:
                return False
            before = self._known[name].state if name in self._known else Writing.UNKNOWN
            self._change(name, event.event_type)
            return before is not (self._known[name].state if name in self._known else Writing.UNKNOWN)

    def _change(self, name: str, happened: str) -> None:
        if happened == "deleted":
            self._known.pop(name, None)
            return
        if happened == "created":  # by a writer who opens it next, by a link, or with its folder
            self._known[name] = _File(made=True)
            return
        file = self._known.setdefault(name, _File())
        if happened == "opened":
            file.opens += 1
        elif happened == "modified":
            # What nobody has open any more is cut or stretched by its name. That nobody has it open is known only where all
            # openers were heard; another file is written to.
            by_name = file.made and not file.opens and file.state is not Writing.OPEN
            file.state, file.closing = Writing.UNKNOWN if by_name else Writing.OPEN, False
        elif happened in ("closed", "closed_no_write"):
            file.opens = max(0, file.opens - 1)
            file.closing |= happened == "closed"
            if file.closing and not file.opens:
                file.state, file.closing = Writing.CLOSED, False
            elif file.closing or (file.state is Writing.OPEN and not file.opens):
                file.state = Writing.UNKNOWN

    def _move(self, source: str | None, target: str | None) -> None:
        # Who renames a file may still be writing.
        known = _File(Writing.MOVED_IN) if source is None else self._known.pop(source, _File())
        if known.state is Writing.CLOSED and known.made:
            known.state = Writing.RENAMED
        self._renames += 1
        known.rename = self._renames
        if target is not None:
            self._known[target] = known

    def doubt(self) -> None:
        """Ignore notifications until `forget`: a folder that was moved away still reports its files by their names here."""
        with self._lock:
            self._keep_open_files()
            self._doubted = True

    def forget(self) -> None:
        """Begin anew: notifications were lost, or another folder is watched. Files that were being written count as such until
        their close is reported: otherwise somebody who moves a folder, or causes an overflow, could have another user's half
        file taken.
        """
        with self._lock:
            self._keep_open_files()
            self._doubted = False

    def _keep_open_files(self) -> None:
        open_files = [name for name, file in self._known.items() if file.state is Writing.OPEN]
        self._known = {name: _File(Writing.OPEN, kept=True) for name in open_files}

    def keep(self, names: set[str]) -> None:
        """Forget the files that two looks in a row did not find among `names` (and that are not hidden: those are renamed when
        they are whole). One look may have missed a file that came meanwhile, or that still had a temporary name.
        """
        with self._lock:
            missed = {name for name in self._known if name not in names and not _is_hidden(name)}
            for name in missed & self._missed:
                file = self._known[name]
                if file.kept or not (file.opens or file.state is Writing.OPEN):
                    del self._known[name]
            self._missed = missed

    def _name(self, path: bytes | str) -> str | None:
        text = os.fsdecode(path)
        return text.removeprefix(self._prefix) if text.startswith(self._prefix) else None


def _is_hidden(name: str) -> bool:
    """Return whether a file or a folder that it lies in is hidden."""
    return any(part.startswith(".") for part in name.split(os.sep))
