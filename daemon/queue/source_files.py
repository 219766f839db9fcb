"""Whether a file that a job names went on being written after it was copied, and copying it again.

Where nobody tells when a writer is done, a file can be taken in the middle. Then the copy is a beginning of what the file
became, or has zeros where the rest came to be. A file that was exchanged or written over is another one: the job keeps the one
of its time.
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

#: What is compared in one piece: a file is written page by page.
PAGE = 4096
_CHUNK = 256 * PAGE


class SourceFiles:
    """The files in the inbox that jobs were made of. Its methods touch people's files: call them in a `DiskThread`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def copy_again(self, job: Job, directory: Path, given_up: threading.Event) -> dict[str, FileKey]:
        """Copy each of the job's files that went on being written, under a temporary name.

        Args:
            given_up: set when nobody waits for the answer any more.

        Returns:
            By the name of the copy, what identifies the new content. `install_new_copy` gives the new copies their names.
        """
        renewed: dict[str, FileKey] = {}
        for target, known in job.facts.get(SOURCES, {}).items():
            try:
                with open_inside(self._settings.paths.inbox, str(known["path"])) as fd:
                    key = self._copy(fd, known["file"], directory / target, given_up)
            except (AvatarError, OSError):  # gone or not to be had: then the copy is all there is
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
        fs.remove(temporary)  # still being written: the next look at it will tell
        return None


def install_new_copy(directory: Path, target: str) -> None:
    """Put a new copy in the place of the old one."""
    if os.path.lexists(temporary_of(directory / target)):
        fs.rename(temporary_of(directory / target), directory / target)
        fs.OPS.sync_dir(directory)


def temporary_of(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.tmp")


def is_continuation(copy: int, file: int, given_up: threading.Event) -> bool:
    """Whether an open file is what an open copy of it was the beginning of: each page of the copy is the same, or is the same
    up to where only zeros follow; and something differs.
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
