"""Which files in the inbox somebody has open for writing, as far as the kernel has told.

inotify tells of every file that is made, written to and closed after writing, also where a file server on this machine is the
writer. A file that was made or written to and not closed yet is not whole, however still it stands. What happened before the
watch, on a network mount, or while notifications were lost is not known; then only time can tell.
"""

from __future__ import annotations

import os
import threading
from enum import Enum

from watchdog.events import FileSystemEvent


class Writing(Enum):
    """What is known of a file's writers."""

    #: Nothing was heard that tells.
    UNKNOWN = "unknown"
    #: It was made by a link, a move of its folder, or before its folder was watched: a writer may have it open or not.
    APPEARED = "appeared"
    #: It was opened as it appeared: by the writer who made it, or by a reader of what was there.
    OPENED = "opened"
    #: It was written to, or made and opened, and not closed since.
    OPEN = "open"
    #: Its writer closed it, or it was moved in under its name.
    CLOSED = "closed"


class FileWriters:
    """Follows the notifications of one folder; may be told of them in one thread and asked in another."""

    def __init__(self, root: str) -> None:
        self._prefix = root.rstrip(os.sep) + os.sep
        self._lock = threading.Lock()
        self._known: dict[str, Writing] = {}

    def of(self, name: str) -> Writing:
        """What is known of a file, by its path below the folder."""
        known = self._known.get(name, Writing.UNKNOWN)
        return {Writing.APPEARED: Writing.UNKNOWN, Writing.OPENED: Writing.OPEN}.get(known, known)

    def hear(self, event: FileSystemEvent) -> None:
        """Take in one notification about a file."""
        name = self._name(event.src_path)
        with self._lock:
            if event.event_type == "moved":
                self._move(name, self._name(event.dest_path))
            elif name is not None:
                self._change(name, event.event_type)

    def _change(self, name: str, happened: str) -> None:
        known = self._known.get(name)
        if happened == "created":
            self._known[name] = Writing.APPEARED
        elif happened == "modified":
            self._known[name] = Writing.OPEN
        elif happened == "opened" and known is Writing.APPEARED:
            # open(2) with O_CREAT tells of both at once; a link that was made is opened by nobody in that moment.
            self._known[name] = Writing.OPENED
        elif happened == "closed_no_write" and known is Writing.OPENED:
            del self._known[name]  # it was a reader, such as the daemon itself
        elif happened == "closed":
            self._known[name] = Writing.CLOSED
        elif happened == "deleted":
            self._known.pop(name, None)

    def _move(self, source: str | None, target: str | None) -> None:
        # Who moves a file in from outside the folder is done with it; who renames one inside may still be writing.
        known = Writing.CLOSED if source is None else self._known.pop(source, Writing.UNKNOWN)
        if target is not None:
            self._known[target] = known

    def forget(self) -> None:
        """Notifications were lost, or another folder is watched: nothing is known any more."""
        with self._lock:
            self._known.clear()

    def keep(self, names: set[str]) -> None:
        """Forget the files that are not among `names` (and are not hidden: those are renamed when they are whole)."""
        with self._lock:
            gone = [name for name in self._known if name not in names and not os.path.basename(name).startswith(".")]
            for name in gone:
                if self._known[name] not in (Writing.OPEN, Writing.OPENED):
                    del self._known[name]

    def _name(self, path: bytes | str) -> str | None:
        text = os.fsdecode(path)
        return text.removeprefix(self._prefix) if text.startswith(self._prefix) else None
