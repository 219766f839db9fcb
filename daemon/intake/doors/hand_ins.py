"""Finds the manifests that a door handed in, by the records that the doors write (`daemon/jobs/hand_in_record.py`).

A record is believed only where it is a small regular file of the manifest's own owner and names the content that the manifest
has: then the manifest is whole, and what the record says of the job is what the manifest's owner says of it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.intake.drop import Drop, Look
from daemon.intake.inbox_names import KEYS
from daemon.jobs.hand_in_record import MAX_BYTES, MAX_MANIFEST_BYTES, HandInRecord, digest_of, job_of
from daemon.jobs.untrusted import read_manifest
from daemon.system import fs

log = structlog.get_logger()

#: Records and files of a hand-in that never got its manifest are removed after this long, in s.
DAY_S = 86_400.0
LITTER_S = DAY_S


class _Read(NamedTuple):
    """A record as it was read. `matched`: the look at the manifest that it was found to fit; None where it fits none."""

    look: Look
    record: HandInRecord | None
    compared: Look | None = None
    fits: bool = False


class HandIns:
    """Reads the records in the inbox, each once as long as neither it nor its manifest changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, _Read] = {}

    def match(self, records: Mapping[str, Look], drops: Mapping[str, Drop]) -> dict[str, HandInRecord]:
        """Return the record that holds for each manifest that has one, by the manifest's name.

        Args:
            records: what the last look found under the names of records.
            drops: the manifests it found, by name.
        """
        found: dict[str, HandInRecord] = {}
        self._read = {name: read for name, read in self._read.items() if name in records}
        for name, look in records.items():
            read = self._read.get(name)
            if read is None or read.look != look:
                read = _Read(look, self._parse(name, look))
            record = read.record
            drop = drops.get(record.manifest) if record else None
            if record is not None and drop is not None and drop.look.uid == look.uid:
                if read.compared != drop.look:
                    read = read._replace(compared=drop.look, fits=self._fits(record, drop.name))
                if read.fits:
                    found.setdefault(drop.name, record)
            self._read[name] = read
        return found

    def present(self) -> dict[str, Look]:
        """Return what lies in the inbox now under the names of records."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self._settings.paths.inbox) as entries:
            for entry in entries:
                if job_of(entry.name) and (look := Look.at(entry.path)) is not None:
                    found[entry.name] = look
        return found

    def brought(self, last_look: Callable[[str], Look | None]) -> set[str]:
        """Return the files that doors bring for manifests which are not there yet, or never come: a table among them is no batch
        of its own. Only the record's own user can say so of a file.

        Args:
            last_look: what the last look found under a path below the inbox.
        """
        return {
            file
            for read in self._read.values()
            if read.record is not None
            for file in read.record.files
            if (look := last_look(file)) is not None and look.uid == read.look.uid
        }

    def _parse(self, name: str, look: Look) -> HandInRecord | None:
        if not 0 < look.size <= MAX_BYTES:
            return None
        try:
            record = HandInRecord.from_bytes(read_manifest(self._settings.paths.inbox, name, MAX_BYTES))
        except (AvatarError, OSError, ValueError) as exc:
            log.warning("hand-in record not used", file=name, why=str(exc))
            return None
        return record if record.job == job_of(name) else None

    def _fits(self, record: HandInRecord, manifest: str) -> bool:
        try:
            data = read_manifest(self._settings.paths.inbox, manifest, MAX_MANIFEST_BYTES)
        except (AvatarError, OSError):
            return False
        return digest_of(data) == record.sha256

    def by(self, record: HandInRecord, uid: int) -> str:
        """Return who handed in as the door says, where the owner of the record is the HTTP door's own user; empty else."""
        return record.by if record.by and uid == self._door_uid() else ""

    def _door_uid(self) -> int | None:
        """The uid of `server.user`; None where it is not set, or there is no such user."""
        name = self._settings.server.user
        if not name:
            return None
        if name.isdecimal():
            return int(name)
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            return None

    def clear_litter(
        self, records: Mapping[str, Look], present: Mapping[str, Look], named: set[str], now: float
    ) -> None:
        """Remove what doors left behind that died before they handed in the manifest, a day later: their records, and the files
        that those list, where these are the same user's, as old, and named by no manifest that waits.

        Args:
            present: the files that the last look found, by their path below the inbox.
            named: paths of the files that manifests in the inbox name, and those manifests.
            now: seconds since the epoch, by the clock of the inbox's filesystem.
        """
        old = {name for name, look in records.items() if now - look.ctime_ns / 1e9 > LITTER_S}
        kept = {file for name in records.keys() - old for file in self._files(name)}
        for name in old:
            read = self._read.get(name)
            if read is not None and read.record is not None and read.record.manifest in present:
                continue
            for file in self._files(name):
                look = present.get(file)
                if look is None or file in named or file in kept or look.uid != records[name].uid or look.size < 0:
                    continue
                if now - look.ctime_ns / 1e9 > LITTER_S:
                    fs.discard(self._settings.paths.inbox / file)
            fs.discard(self._settings.paths.inbox / name)
            log.info("unfinished hand-in cleared", file=name)

    def clear_keys(self, now: float) -> None:
        """Remove idempotency keys that are older than any job is kept."""
        limits = self._settings.retention
        longest = max(limits.done_days, limits.failed_days) if limits.done_days and limits.failed_days else 0
        with contextlib.suppress(OSError):
            folder = os.open(self._settings.paths.inbox / KEYS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                with os.scandir(folder) as entries:
                    old = [
                        entry.name
                        for entry in entries
                        if longest and now - entry.stat(follow_symlinks=False).st_mtime > longest * DAY_S
                    ]
                for name in old:
                    fs.discard(Path(f"/proc/self/fd/{folder}") / name)
            finally:
                os.close(folder)

    def _files(self, name: str) -> list[str]:
        read = self._read.get(name)
        files = read.record.files if read is not None and read.record is not None else {}
        return [file for file in files if os.path.basename(file) == file]
