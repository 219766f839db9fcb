"""Removes files that doors brought into the inbox and that nothing there needs any more.

A door brings a picture or sound once, however many jobs name it (`daemon/doors/shared_files.py`), and a job copies it when it is
taken in. So the file in the inbox outlives its jobs, and nobody owns it. It goes a day after it was last handed in with, unless
a manifest in the inbox names it or a batch that may still make jobs of its rows. Files that people put there have other names, or
another content than their name says, and stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from daemon.errors import AvatarError
from daemon.intake.doors.hand_ins import LITTER_S
from daemon.intake.drop import Look
from daemon.jobs.batch.files import INPUT
from daemon.jobs.batch.rows import BatchInput, BatchRows
from daemon.jobs.companions import copy_name
from daemon.jobs.hand_in_record import UPLOAD_FILE
from daemon.jobs.manifest import Manifest
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.safe_open import open_inside

log = structlog.get_logger()

#: A name under which a door writes; and one that it makes of a file's content: words, and the first eight digits of its SHA-256.
_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")
_OF_CONTENT: Final = re.compile(r"[A-Za-z0-9_-]{1,80}-[0-9a-f]{8}(?:-[A-Za-z0-9_-]{1,60})?(?:\.[a-z0-9]{1,5})?")


class BroughtFiles:
    """The files in the inbox itself that doors brought.

    Args:
        inbox: the folder.
        spool: whose batches may still need files.
    """

    def __init__(self, inbox: Path, spool: Spool) -> None:
        self._inbox = inbox
        self._spool = spool
        #: Files of such names that hold something else, and how they looked.
        self._others: dict[str, Look] = {}

    def clear(self, present: Mapping[str, Look], named: Collection[str], now: float) -> list[str]:
        """Remove the files that nothing needs; returns their names. No manifest may be on its way out of the inbox meanwhile.

        Args:
            present: what the last look found, by path below the inbox.
            named: paths of the files that manifests and records in the inbox name.
            now: seconds since the epoch, by the clock of the inbox's filesystem.
        """
        self._others = {name: look for name, look in self._others.items() if present.get(name) == look}
        old = [
            name
            for name, look in present.items()
            if name not in named
            and look.size >= 0
            and now - look.mtime_ns / 1e9 > LITTER_S
            and name not in self._others
            and (_OF_CONTENT.fullmatch(name) or UPLOAD_FILE.fullmatch(name))
        ]
        if not old:
            return []
        needed = set(self._named_by_batches())
        gone = [
            name
            for name in old
            if name not in needed and self._is_brought(name, present[name]) and self._take(name, now)
        ]
        if gone:
            log.info("files of doors cleared", files=len(gone), first=gone[:5])
        return gone

    def _is_brought(self, name: str, look: Look) -> bool:
        """Return whether the name of a file says what is in it, as a door's does."""
        if UPLOAD_FILE.fullmatch(name):
            return True
        try:
            with open_inside(self._inbox, name) as fd, os.fdopen(os.dup(fd), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (AvatarError, OSError):
            return False
        if f"-{digest[:8]}" in name:
            return True
        self._others[name] = look
        return False

    def _take(self, name: str, now: float) -> bool:
        """Remove a file, unless a door says in this moment that it hands in with it: it sets the file's time before it looks
        whether the file is there.
        """
        place, aside = self._inbox / name, self._inbox / f".{secrets.token_hex(8)}.tmp"
        try:
            fs.rename(place, aside)
            if now - os.lstat(aside).st_mtime > LITTER_S:
                fs.discard(aside)
                return True
            fs.publish(aside, place, sync=False)
        except OSError as exc:
            log.warning("file of a door not cleared", file=name, why=exc.strerror)
        fs.discard(aside)  # somebody brought it again
        return False

    def clear_temporary(self, now: float) -> None:
        """Remove what a door wrote a day ago that was killed before it gave the file its name. Nothing ever names such a file."""
        with contextlib.suppress(OSError), os.scandir(self._inbox) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it has its name by now
                    if _TEMPORARY.fullmatch(entry.name) and now - entry.stat(follow_symlinks=False).st_ctime > LITTER_S:
                        fs.discard(Path(entry.path))

    def _named_by_batches(self) -> Iterator[str]:
        """Yield the paths below the inbox of the files that rows name of batches that run, wait, or may be started again."""
        for folder in self._spool.folders()[3:]:
            if folder == self._spool.resting("done"):
                continue
            for place in self._spool.job_folders(folder):
                if (place / INPUT).exists():
                    yield from self._files_of(place)

    def _files_of(self, place: Path) -> Iterator[str]:
        with contextlib.suppress(AvatarError, OSError, ValueError, KeyError):  # a damaged one makes no jobs either
            given = BatchInput.read(place)
            manifest = Manifest.model_validate(self._spool.load_job(place).manifest)
            rows = BatchRows(manifest, place / copy_name("rows"), given.inherited)
            yield from (file.path for file in rows.files(given.folder))
