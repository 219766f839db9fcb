"""Keeps files that were uploaded before their jobs: each for a day, and only for whoever sent it. Removes what is left behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import FOLDER, own_folder
from daemon.doors.http.problems import RequestError
from daemon.history.database import boot_id
from daemon.jobs.iso_time import iso
from daemon.system import fs, subfolders
from daemon.system.permissions import check_private

#: An upload is kept for so long, and what a request left behind that was cut short, s.
LITTER_S: Final = 86_400.0
_ID: Final = re.compile(r"up-[0-9a-f]{16}")
_RECORD: Final = "upload.json"
#: Larger than any record.
_MAX_BYTES: Final = 65_536
#: What reading a record raises that is none: whoever may write into the inbox may put anything there.
_NO_RECORD: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def since_boot() -> float:
    """Return how long the machine runs, in s, the time that it slept included. No change of the host's clock changes it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class KeptUploads:
    """The uploads in `inbox/.http/up-…`.

    Args:
        inbox: the folder.
        clock: seconds since the epoch.
        uptime: returns how long the machine runs, in s.
    """

    def __init__(
        self, inbox: Path, clock: Callable[[], float] = time.time, uptime: Callable[[], float] = since_boot
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._uptime = uptime

    def keep(self, path: Path, sha256: str, caller: Caller) -> dict[str, Any]:
        """Keep a file that has come whole, in a folder of its own; returns what is said of it."""
        folder = path.parent.parent
        upload = f"up-{folder.name.rpartition('-')[2]}"
        now = self._clock()
        record = {
            "by": caller.name,
            "name": path.name,
            "sha256": sha256,
            "bytes": path.stat().st_size,
            "expires": now + LITTER_S,
            "boot": boot_id(),
            "uptime": self._uptime(),
        }
        fs.OPS.write(folder / _RECORD, json.dumps(record).encode())
        fs.rename(folder, self._inbox / FOLDER / upload)
        return self._told(upload, record)

    def keep_one_of(self, path: Path, sha256: str, caller: Caller) -> dict[str, Any]:
        """Keep one of the files of a request whose folder goes; else as `keep`."""
        with own_folder(self._inbox) as folder:
            place = folder / "0" / path.name
            place.parent.mkdir(mode=0o770)
            fs.rename(path, place)
            return self.keep(place, sha256, caller)

    def find(self, upload: str, caller: Caller) -> Path:
        """Return the file of an upload.

        Raises:
            RequestError: `upload-unknown`: it is none, has expired, or is somebody else's.
        """
        folder, record = self._read(upload, caller)
        return folder / "0" / str(record["name"])

    def remove(self, upload: str, caller: Caller) -> None:
        """Remove an upload. Errors as for `find`."""
        shutil.rmtree(self._read(upload, caller)[0], ignore_errors=True)

    def _read(self, upload: str, caller: Caller) -> tuple[Path, dict[str, Any]]:
        folder = self._inbox / FOLDER / upload
        if _ID.fullmatch(upload):
            with contextlib.suppress(*_NO_RECORD):
                check_private(folder.parent)
                record = _load(folder)
                is_kept = _age(record, self._clock(), self._uptime()) < LITTER_S
                if is_kept and (caller.sees_all or caller.owns(record["by"])):
                    return folder, record
        raise RequestError(
            "upload-unknown", f"There is no upload {upload[:40]}.", "Send the file again; an upload is kept for a day."
        )

    @staticmethod
    def _told(upload: str, record: dict[str, Any]) -> dict[str, Any]:
        told = {key: record[key] for key in ("name", "bytes", "sha256")}
        return {"id": upload, "ref": f"upload:{upload}", **told, "expires": iso(record["expires"])}


def clear_litter(inbox: Path, now: float | None = None, uptime: float | None = None) -> None:
    """Remove uploads after their day, and what requests left behind whose server was killed.

    Args:
        now: seconds since the epoch; by default the present time.
        uptime: how long the machine runs, in s; by default as it is.
    """
    now, uptime = time.time() if now is None else now, since_boot() if uptime is None else uptime
    with contextlib.suppress(OSError):
        check_private(inbox / FOLDER)  # nothing is removed behind a link
        with os.scandir(inbox / FOLDER) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                    if not entry.name.startswith(".") and _is_litter(Path(entry.path), now, uptime):
                        shutil.rmtree(entry.path, ignore_errors=True)


def _is_litter(folder: Path, now: float, uptime: float) -> bool:
    try:
        age = _age(_load(folder), now, uptime)
    except _NO_RECORD:
        age = now - folder.lstat().st_mtime
    # Also what has a time that is far ahead: the clock was wrong.
    return abs(age) > LITTER_S and not _is_in_use(folder)


def _load(folder: Path) -> dict[str, Any]:
    """Return the record of an upload. What is no regular file is not read: a named pipe would never end.

    Raises:
        OSError, ValueError, RecursionError: it is none.
    """
    with open(subfolders.open_file(folder, _RECORD), "rb") as file:
        record: dict[str, Any] = json.loads(file.read(_MAX_BYTES))
    return record


def _age(record: dict[str, Any], now: float, uptime: float) -> float:
    """Return how long ago an upload was kept, in s: by how long the machine runs, as the host's clock may be set meanwhile; by
    the clock only where the machine was started anew since.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, OverflowError: it is no record.
    """
    if record.get("boot") and record["boot"] == boot_id():
        return uptime - float(record["uptime"])
    return now + LITTER_S - float(record["expires"])


def _is_in_use(folder: Path) -> bool:
    """Return whether a request still works in a folder (`own_folder`); False where locks are not known."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(held)
    return False
