"""Keeps files that were uploaded before their jobs: each for a day, and only for whoever sent it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import FOLDER, LITTER_S, own_folder
from daemon.doors.http.problems import RequestError
from daemon.jobs.iso_time import iso
from daemon.system import fs

_ID: Final = re.compile(r"up-[0-9a-f]{16}")
_RECORD: Final = "upload.json"


class KeptUploads:
    """The uploads in `inbox/.http/up-…`.

    Args:
        inbox: the folder.
        clock: seconds since the epoch.
    """

    def __init__(self, inbox: Path, clock: Callable[[], float]) -> None:
        self._inbox = inbox
        self._clock = clock

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
            try:
                record = json.loads((folder / _RECORD).read_bytes())
                if record["expires"] > self._clock() and (caller.sees_all or caller.owns(record["by"])):
                    return folder, record
            except (OSError, ValueError, KeyError, TypeError):
                pass
        raise RequestError(
            "upload-unknown", f"There is no upload {upload[:40]}.", "Send the file again; an upload is kept for a day."
        )

    @staticmethod
    def _told(upload: str, record: dict[str, Any]) -> dict[str, Any]:
        told = {key: record[key] for key in ("name", "bytes", "sha256")}
        return {"id": upload, "ref": f"upload:{upload}", **told, "expires": iso(record["expires"])}
