"""Wakes the daemon when something may have changed in the inbox or in spool/control; only the scan decides what did."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import EventEmitter, ObservedWatch
from watchdog.observers.inotify import InotifyObserver

from daemon.intake.claims.claim_folder import CLAIMED
from daemon.intake.file_writers import FileWriters
from daemon.intake.watch_limits import LIMITS, WATCHES, Unwatched
from daemon.system.mounts import mount_of

log = structlog.get_logger()

Mode = Literal["auto", "inotify", "poll"]

#: Filesystems that other machines change (file servers, hosts of virtual machines, members of a cluster), which inotify does not
#: report. An overlay is not among them: what is changed through it is announced.
REMOTE = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "unknown",
    }
)
#: How long notifications are not trusted after some were lost, in s.
DOUBT_S = 5.0
_LIBRARY = "watchdog.observers"
FUSE = "fuse"  # and fuseblk, fuse.sshfs, fuse.mergerfs …


def filesystem_of(path: Path) -> str:
    """Return the type of the filesystem a path lies on, as mountinfo(5) names it."""
    return mount_of(path).kind


def announces(kind: str) -> bool:
    """Return whether inotify reports all changes on a filesystem of this type."""
    return kind not in REMOTE and not kind.startswith(FUSE)


def can_notify(path: Path) -> bool:
    """Return whether inotify reports all changes in a folder."""
    return announces(filesystem_of(path))


class _EventHandler(FileSystemEventHandler):
    def __init__(
        self, wake: Callable[[], None], writers: FileWriters | None = None, moved_out: Callable[[], None] = lambda: None
    ) -> None:
        self._wake = wake
        self._writers = writers
        self._moved_out = moved_out
        self.stopped = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        if self.stopped:  # of watches that were made anew meanwhile
            return
        if event.is_directory and event.event_type == "moved" and not event.dest_path:
            self._moved_out()
        changed = self._writers is not None and not event.is_directory and self._writers.hear(event)
        # Our own actions (opening, reading, claiming) are no changes, and a change of a folder is reported by its files, too.
        silent = event.event_type in ("opened", "closed_no_write")
        if (silent and not changed) or (event.is_directory and event.event_type == "modified"):
            return
        if _is_own(event.src_path) or (event.event_type == "moved" and _is_own(event.dest_path)):
            return
        self._wake()


class _LossHandler(logging.Handler):
    """Notices that notifications were lost. When the kernel's queue overflows, the library drops what it holds and only logs a
    warning, so this handler listens to its log; a warning about something else costs one needless scan.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        self._lost()


def _is_own(path: bytes | str) -> bool:
    return f"{os.sep}{CLAIMED}{os.sep}" in os.fsdecode(path) + os.sep


@dataclass
class _Watch:
    mode: Mode
    recursive: bool
    writers: FileWriters | None
    handler: _EventHandler | None = None
    place: tuple[int, int] | None = None
    root: str = ""  # the path without links
    handle: ObservedWatch | None = None
    refused: OSError | None = None  # why it cannot be watched now
    #: Folders whose changes were not announced at the last look, and those of them that had not been at the one before.
    missed: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()


class Watcher:
    """Calls `wake` (from another thread) soon after something changed below the watched folders."""

    def __init__(self, wake: Callable[[], None]) -> None:
        #: Why the library cannot be started now.
        self._refused: OSError | None = None
        self._observer: InotifyObserver | None = None
        self._loss = _LossHandler(self._on_loss)
        self._wake = wake
        self._watches: dict[Path, _Watch] = {}
        self._started = False
        self._doubt_until = 0.0
        #: Why all watches are to be made anew; empty where they are good.
        self._stale = ""

    def watch(self, path: Path, mode: Mode, *, recursive: bool, writers: FileWriters | None = None) -> None:
        """Watch a folder by inotify where it can be trusted; otherwise only scans will see its changes. Before `start` this is
        only noted.

        `writers` is told of the files in it.
        """
        self._watches[path] = _Watch(mode, recursive, writers)
        if self._started:
            self.refresh(path)

    def trusted(self, path: Path, folders: Sequence[str] = ()) -> bool:
        """Return whether changes of a watched folder, and of these folders below it, are announced."""
        watch = self._watches.get(path)
        certain = not self._stale and self.alive() and time.monotonic() >= self._doubt_until
        return watch is not None and watch.handle is not None and certain and not self._misses_any(watch, folders)

    def _misses_any(self, watch: _Watch, folders: Sequence[str]) -> bool:
        """Whether some folders are not watched. Where the kernel refuses more watches, the library goes on without them and
        does not tell; a folder that is new is watched soon.
        """
        groups = [getattr(emitter, "_inotify", None) for emitter in self._emitters()]
        watched = {path for group in groups if group is not None for path in list(group._active_callbacks_by_path)}
        before = watch.missed
        watch.missed = frozenset(name for name in folders if os.fsencode(os.path.join(watch.root, name)) not in watched)
        watch.lasting = watch.missed & before
        return bool(watch.missed)

    def unwatched(self, path: Path) -> Unwatched | None:
        """Return what is not watched at and below a watched folder because a limit of the kernel is reached, at the last look."""
        watch = self._watches[path]
        refused = self._refused or watch.refused
        if refused is not None:
            return Unwatched(LIMITS[refused.errno]) if refused.errno in LIMITS else None
        return Unwatched(WATCHES, len(watch.lasting), min(watch.lasting)) if watch.lasting else None

    def _emitters(self) -> list[EventEmitter]:
        return list(self._observer.emitters) if self._observer is not None else []

    def is_replaced(self, path: Path) -> bool:
        """Return whether another folder stands at a watched path than the watched one. Not to be called in the event loop."""
        watch = self._watches.get(path)
        place = _place(path)
        return watch is not None and None not in (watch.place, place) and watch.place != place

    def alive(self) -> bool:
        """Return whether the library's threads run, which pass on the kernel's notifications; an error ends them silently."""
        if not self._started:
            return True
        if self._observer is None:
            return False
        threads = [self._observer, self._observer._inotify_fd, *self._emitters()]
        running = all(thread.is_alive() or not thread.should_keep_running() for thread in threads)
        return running and not any(map(_has_lost_watch, self._emitters()))

    def _on_loss(self) -> None:
        # Watches are made anew after a loss; what changes before they stand is seen by looking more often for a while.
        self._doubt_until = time.monotonic() + DOUBT_S
        for watch in list(self._watches.values()):
            if watch.writers is not None:
                watch.writers.forget()
        self._wake()

    def _on_folder_moved_out(self) -> None:
        """A folder was moved out. Its watches stay on it and report the names it had here, and the library fails when those names
        are used again. So all watches are renewed, and notifications are ignored until then.
        """
        self._stale = "a folder was moved away"
        for watch in list(self._watches.values()):
            if watch.writers is not None:
                watch.writers.doubt()
        self._doubt_until = time.monotonic() + DOUBT_S

    def _renew(self) -> None:
        try:
            fresh = _observer()
        except OSError as exc:  # tried again at the next look; polling goes on
            self._refused = self._refused or self._warn(exc)
            return
        if self._observer is not None and not self.alive():
            log.error("notifications ended", code="watch-ended", next="all folders are watched anew")
        old, self._observer, self._stale, self._refused = self._observer, fresh, "", None
        for watch in self._watches.values():
            if watch.handler is not None:
                watch.handler.stopped = True
            watch.place = watch.handle = None
        fresh.start()
        if old is not None:
            # Ending it may take long, or fail for the reason that broke it, so nothing waits for that.
            threading.Thread(target=_end, args=(old,), name="end-of-watches", daemon=True).start()
            self._doubt_until = time.monotonic() + DOUBT_S
        for path in self._watches:
            self._schedule(path)

    def refresh(self, path: Path) -> None:
        """Renew the watch if another folder is at the path now: it was unmounted and mounted, or made again. Renew all watches if
        notifications cannot be relied on any more.

        It goes through all folders below, of which one may not answer: not to be called in the event loop.
        """
        if self._stale or not self.alive():
            self._renew()
        self._schedule(path)

    def _schedule(self, path: Path) -> None:
        watch = self._watches[path]
        place = _place(path)
        if place in (None, watch.place) or self._observer is None:
            return  # where it is gone, whatever comes in its place is another one
        if watch.handle is not None:
            with contextlib.suppress(KeyError):  # it has ended by itself
                self._observer.unschedule(watch.handle)
        watch.place, watch.root, watch.handle = place, os.path.realpath(path), None
        if watch.writers is not None:
            watch.writers.forget()
        if watch.mode == "inotify" or (watch.mode == "auto" and can_notify(path)):
            watch.handler = _EventHandler(self._wake, watch.writers, self._on_folder_moved_out)
            try:
                # The library does not follow links, also not one that is the folder itself.
                watch.handle = self._observer.schedule(watch.handler, watch.root, recursive=watch.recursive)
            except OSError as exc:  # out of inotify watches: polling goes on, and the next look tries again
                watch.refused, watch.place = watch.refused or self._warn(exc), None
            else:
                watch.refused = None

    def _warn(self, exc: OSError) -> OSError:
        log.warning("inotify not available, polling", error=str(exc))
        return exc

    def start(self) -> None:
        """Watch the folders that were noted, and those that are named later."""
        logging.getLogger(_LIBRARY).addHandler(self._loss)
        self._started = True
        self._renew()

    def stop(self) -> None:
        """Stop watching, and end the thread that reads the notifications."""
        logging.getLogger(_LIBRARY).removeHandler(self._loss)
        observer = self._observer
        if observer is not None and observer.is_alive() and _end(observer):
            observer.join(5)


def _observer() -> InotifyObserver:
    # Full: a file that is moved in from outside is told as such, not as one that was made.
    return InotifyObserver(generate_full_events=True)


def _place(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder; None where it is gone."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _has_lost_watch(emitter: EventEmitter) -> bool:
    """True if the kernel has ended the watch of an emitter's own folder, as it does when the filesystem is unmounted. Another
    one may be mounted since, with the same device and inode.
    """
    group = getattr(emitter, "_inotify", None)
    return group is not None and group.is_active and group.path not in group._active_callbacks_by_path


def _end(observer: InotifyObserver) -> bool:
    """End an observer. Returns False where it failed: what broke it may break its end, too, and so may a watch that is made in
    another thread at this moment.
    """
    try:
        observer.stop()
    except Exception as exc:
        log.warning("watches not ended", error=repr(exc))
        return False
    return True
