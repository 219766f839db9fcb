"""Large files that a machine has received before, by their content. Its workers share them, and each is sent once."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Final

from daemon.workers.remote.job_files import Sent, sha256_of

#: Most space for them, in bytes; those that were used longest ago go first, none before it was left alone for a while, in s.
LIMIT_BYTES: Final = 8 * 2**30
REST_S: Final = 3600.0


class ContentStore:
    """Files in a folder of one machine, each named by its SHA-256. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def missing(self, sums: list[str]) -> list[str]:
        """Return those that are not here; the others count as used."""
        absent = []
        for one in dict.fromkeys(sums):
            try:
                os.utime(self._folder / one)
            except FileNotFoundError:
                absent.append(one)
        return absent

    def add(self, sha256: str, offset: int, data: bytes, *, is_last: bool) -> None:
        """Add a part of a file, in order.

        Raises:
            ValueError: the whole is not what its name says; nothing of it is left.
        """
        part = self._folder / f"{sha256}.{os.getpid()}.part"
        with part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)
        if not is_last:
            return
        if (found := sha256_of(part)) != sha256:
            part.unlink()
            raise ValueError(f"the file {sha256} arrived as {found}")
        part.rename(self._folder / sha256)
        self._shrink()

    def copy(self, sha256: str, target: Path) -> None:
        """Copy a file into a job's folder, where a stage may change it."""
        shutil.copyfile(self._folder / sha256, target)

    def forget(self, sha256: str) -> None:
        """Remove a file, if it is here."""
        (self._folder / sha256).unlink(missing_ok=True)

    def put(self, file: Sent, target: Path) -> None:
        """Put a file that was sent in its place, with the time at which it was changed."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.data is None:
            self.copy(file.sha256, target)
        else:
            target.write_bytes(file.data)
        os.utime(target, ns=(file.mtime_ns, file.mtime_ns))

    def _shrink(self) -> None:
        found = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(self._folder))
        total = sum(size for _, size, _ in found)
        for used, size, path in found:
            if total <= LIMIT_BYTES or time.time() - used < REST_S:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
