"""Detects files that were still being written when a job copied them, and copies them again.

Where a close is not reported, a file can be copied too early. Then the copy is the beginning of the final file, or has zeros
where data came later. A file that was replaced or overwritten is a different file: the job keeps its copy.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.jobs.record import SOURCES, Job
from daemon.queue.free_space import check_room
from daemon.system import fs
from daemon.system.file_key import FileKey, file_key
from daemon.system.safe_open import open_inside

#: Unit of comparison, in bytes: the kernel writes files page by page.
PAGE = 4096
_CHUNK = 256 * PAGE


class SourceFiles:
    """The files in the inbox from which jobs were made. Reading them can block: call the methods in a `DiskThread`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def copy_again(self, job: Job, directory: Path, given_up: threading.Event) -> dict[str, FileKey]:
        """Copy those files of a job again that grew after they were copied; each copy gets a temporary name.

        Args:
            given_up: set when the caller no longer waits.

        Returns:
            Name of the copy → key of the new content. `install_new_copy` replaces the old copies.
        """
        renewed: dict[str, FileKey] = {}
        for target, known in job.facts.get(SOURCES, {}).items():
            try:
                with open_inside(self._settings.paths.inbox, str(known["path"])) as fd:
                    key = self._copy(fd, known["file"], directory / target, given_up)
            except (AvatarError, OSError):  # gone or unreadable: the job keeps its copy
                continue
            if key is not None:
                renewed[target] = key
        return renewed

    def _copy(self, fd: int, known: list[int] | None, copy: Path, given_up: threading.Event) -> FileKey | None:
        key = file_key(fd)
        if known is not None and (list(key) == known or known[:2] != list(key[:2])):
            return None
        with copy.open("rb") as file:
            if not is_continuation(file.fileno(), fd, given_up) or key.size > self._settings.intake.max_file_bytes:
                return None
        temporary = temporary_of(copy)
        check_room(self._settings, copy.name, key.size)
        fs.remove(temporary)
        try:
            fs.OPS.copy(fd, temporary, key.size)
            if file_key(fd) == key and not given_up.is_set():
                return key
        except OSError:
            fs.remove(temporary)
            raise
        fs.remove(temporary)  # still being written: the next check copies it
        return None


def install_new_copy(directory: Path, target: str) -> None:
    """Replace the old copy of a file with the new one, durably."""
    if os.path.lexists(temporary_of(directory / target)):
        fs.rename(temporary_of(directory / target), directory / target)
        fs.OPS.sync_dir(directory)


def temporary_of(copy: Path) -> Path:
    """Return the path under which a new copy is written."""
    return copy.with_name(f".{copy.name}.tmp")


def is_continuation(copy: int, file: int, given_up: threading.Event) -> bool:
    """Return True if an open file continues its open copy: every page of the copy equals the file's, or does so up to trailing
    zeros, and the two differ. False as well when `given_up` is set.
    """
    at, differs = 0, False
    while not given_up.is_set():
        old, new = os.pread(copy, _CHUNK, at), os.pread(file, _CHUNK, at)
        if old != new:
            differs = True
            if len(old) > len(new) or not all(
                new[page : page + PAGE].startswith(old[page : page + PAGE].rstrip(b"\0"))
                for page in range(0, len(old), PAGE)
            ):
                return False
        if len(old) < _CHUNK:
            return differs
        at += len(old)
    return False
