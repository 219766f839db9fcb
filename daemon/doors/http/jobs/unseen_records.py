"""Reads the records of jobs that were handed in and that no daemon has seen, each once as long as its files stay as they are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.intake.drop import Look
from daemon.jobs.hand_in_record import MAX_BYTES, MAX_MANIFEST_BYTES, HandInRecord, digest_of, job_of


class _Read(NamedTuple):
    """A record as it was read, and what the files looked like before. `record`: None where it is none of this process's user.
    `manifest`: None where there was none. `is_own`: no other job's manifest lay under its name.
    """

    look: Look
    record: HandInRecord | None
    manifest: Look | None = None
    is_own: bool = True


class UnseenRecords:
    """The records in one inbox that this process's user wrote.

    Of a key that may have so many waiting jobs they are looked through at every hand-in. While the daemon is down all jobs wait,
    and reading thousands of files each time kept the server from everything else.

    Args:
        inbox: the folder.
    """

    def __init__(self, inbox: Path) -> None:
        self._inbox = str(inbox)
        self._read: dict[str, _Read] = {}

    def all(self) -> Iterator[HandInRecord]:
        """Yield the records whose manifests lie in the inbox, the newest first."""
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = sorted(filter(job_of, os.listdir(self._inbox)), reverse=True)
        for gone in {*self._read} - {*names}:
            self._read.pop(gone, None)
        for name in names:
            read = self._look_at(name)
            if read is not None:
                self._read[name] = read
            if read is not None and read.record is not None and read.is_own and read.manifest is not None:
                yield read.record

    def find(self, name: str) -> HandInRecord | None:
        """Return the record in a file, also where its manifest is not there yet, or not any more; None where it is none, or
        another job waits under the name that it says: whoever handed in wrote it, and then found that.
        """
        read = self._look_at(name)
        return read.record if read is not None and read.is_own else None

    def _look_at(self, name: str) -> _Read | None:
        look = Look.at(f"{self._inbox}/{name}")
        if look is None:
            return None
        known = self._read.get(name)
        read = known if known is not None and known.look == look else _Read(look, self._parsed(name))
        if read.record is not None:
            manifest = Look.at(f"{self._inbox}/{read.record.manifest}")
            if manifest != read.manifest:
                read = read._replace(manifest=manifest, is_own=manifest is None or self._is_manifest_of(read.record))
        return read

    def _parsed(self, name: str) -> HandInRecord | None:
        try:
            with open(f"{self._inbox}/{name}", "rb", opener=no_link) as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None  # a claim of somebody else
                return HandInRecord.from_bytes(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return None

    def _is_manifest_of(self, record: HandInRecord) -> bool:
        try:
            with open(f"{self._inbox}/{record.manifest}", "rb", opener=no_link) as file:
                return digest_of(file.read(MAX_MANIFEST_BYTES + 1)) == record.sha256
        except FileNotFoundError:
            return True  # the daemon has just taken it
        except OSError:
            return False


def no_link(path: str, flags: int) -> int:
    """Open a file of the inbox or the spool, where anybody may have put a link or a pipe. For `open`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
