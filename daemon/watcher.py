"""A hint that something changed in the inbox or in spool/control. Never more than a hint: the truth is the scan."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

log = structlog.get_logger()

#: Filesystems on which inotify does not see what other hosts or processes do.
REMOTE = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "vboxsf",
        "virtiofs",
        "overlayfs",
    }
)
FUSE = ("fuse",)


def filesystem_of(path: Path) -> str:
    """The type of the filesystem a path lies on, from /proc/self/mountinfo."""
    best, kind = "", "unknown"
    real = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            left, _, right = line.partition(" - ")
            mount = left.split()[4].encode().decode("unicode_escape")
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, right.split()[0]
    return kind


def can_notify(path: Path) -> bool:
    """Whether inotify tells the whole truth about a folder."""
    kind = filesystem_of(path)
    return kind not in REMOTE and not kind.startswith(FUSE)


class _Hint(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # What we do ourselves (opening, reading) is no news.
        if event.event_type not in ("opened", "closed_no_write"):
            self._wake()


class Watcher:
    """Calls `wake` (from another thread) soon after something changed below the watched folders."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._observer = Observer()
        self._handler = _Hint(wake)
        self.watching: dict[Path, bool] = {}

    def watch(self, path: Path, mode: Literal["auto", "inotify", "poll"], *, recursive: bool) -> None:
        """Watch a folder by inotify where it can be trusted; otherwise only scans will see its changes."""
        trusted = mode == "inotify" or (mode == "auto" and can_notify(path))
        if trusted:
            try:
                self._observer.schedule(self._handler, str(path), recursive=recursive)
            except OSError as exc:  # out of inotify watches: polling goes on
                log.warning("inotify not available, polling", path=str(path), error=str(exc))
                trusted = False
        self.watching[path] = trusted

    def start(self) -> None:
        self._observer.start()

    def stop(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(5)
