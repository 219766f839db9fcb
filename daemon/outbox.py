"""The outbox: reserving a name, and the status file that people watch."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from daemon import fs

#: Endings that belong to one result name; a name is taken when any of them is there.
ENDINGS = (".json", ".mp4", ".wav", ".jpg", ".srt", ".vtt", ".face.json")
ID_LENGTH = len("job-20260102T030405Z-0a1b2c3d")
MAX_STEM_BYTES = 180  # leaves room for a job id and an ending within the 255 bytes of a file name


def clean_stem(name: str) -> str:
    """A file name people and every filesystem can live with: composed Unicode, no control characters, bounded length."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip(" .") or "job"
    return text.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore")


class Outbox:
    def __init__(self, root: Path) -> None:
        self.root = root

    def reserve(self, wanted: str, job_id: str, status: dict[str, Any]) -> str:
        """Take a name for a job by putting its first status file there; a taken name gets the job id appended.

        Asked again for the same job (after a crash), it gives the same name.
        """
        stem = clean_stem(wanted)
        for name in (stem, f"{stem}-{job_id}"):
            if self.owner(name) == job_id:
                self.write(name, {**status, "name": name}, durable=True)
                return name
        for name in (stem, f"{stem}-{job_id}"):
            if not self._taken(name) and self._create(name, {**status, "name": name}, job_id):
                return name
        raise FileExistsError(f"{stem}-{job_id} is taken in the outbox")

    def owner(self, name: str) -> str | None:
        """The job a result name belongs to, by its status file."""
        try:
            fd = os.open(self.root / f"{name}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            try:
                record = json.loads(file.read(1 << 20))
            except (ValueError, OSError):
                return None
        return str(record.get("job")) if isinstance(record, dict) else None

    def _taken(self, name: str) -> bool:
        return any(os.path.lexists(self.root / f"{name}{ending}") for ending in ENDINGS)

    def _create(self, name: str, status: dict[str, Any], job_id: str) -> bool:
        temporary = self.root / f".{job_id}.json.tmp"
        fs.OPS.write(temporary, fs.dump_json(status))
        if fs.publish(temporary, self.root / f"{name}.json"):
            return True
        fs.remove(temporary)
        return False

    def write(self, name: str, status: dict[str, Any], *, durable: bool) -> None:
        """Replace a job's status file."""
        fs.replace_json(self.root / f"{name}.json", status, durable=durable)

    def withdraw(self, name: str, job_id: str) -> None:
        """Remove the status of a job that never came to be."""
        if self.owner(name) == job_id:
            fs.remove(self.root / f"{name}.json")

    def litter(self, live: frozenset[str]) -> list[Path]:
        """Temporary files of jobs that are not being delivered any more."""
        return [path for path in self.root.glob(".job-*") if path.name[1 : 1 + ID_LENGTH] not in live]
