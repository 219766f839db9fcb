"""Defines the record that a door writes into the inbox before it hands in a manifest: the job's id, and what the manifest is.

The record is `inbox/.JOB-ID.handin`, JSON of a few hundred bytes. It is a claim of whoever owns it, who may be anybody that can
write into the inbox: the daemon believes it only for a manifest of the same owner, with the content that it names.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from daemon.jobs.record import JOB_ID

SCHEMA = 1
ENDING = ".handin"
#: A larger file is no record.
MAX_BYTES = 16 << 10
MAX_FILES = 64
#: A larger manifest was handed in by no door. One that is larger than `intake.max_manifest_bytes` fails as the job that was told.
MAX_MANIFEST_BYTES = 16 << 20
#: Longest name of who handed in, and longest key, in characters.
MAX_BY, MAX_KEY = 128, 256
#: The name in the inbox of a file that was uploaded, and that rows of a batch name by its id.
UPLOAD_FILE = re.compile(r"up-[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HandInRecord:
    """What a door says of a manifest.

    Attributes:
        job: id that the job is to have.
        manifest: name of the manifest in the inbox.
        sha256: of the manifest's bytes, in hexadecimal.
        by: who hands in, as the door knows it; empty where the file's owner says it.
        key: the caller's idempotency key; empty without one.
        files: name in the inbox → bytes, of the files that the manifest names and that are whole.
        kind: of the job; empty where only an earlier job says it.
    """

    job: str
    manifest: str
    sha256: str
    by: str = ""
    key: str = ""
    files: dict[str, int] = field(default_factory=dict)
    kind: str = ""

    @property
    def name(self) -> str:
        """Name of the record's file in the inbox."""
        return f".{self.job}{ENDING}"

    def to_bytes(self) -> bytes:
        """Return the content of the file, one line."""
        value = {
            "schema": SCHEMA,
            "job": self.job,
            "manifest": self.manifest,
            "sha256": self.sha256,
            "by": self.by,
            "key": self.key,
            "files": self.files,
            "kind": self.kind,
        }
        return json.dumps(value).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> HandInRecord:
        """Parse the content of a record's file, which anybody may have written.

        Raises:
            ValueError: it is no record of this version.
        """
        try:
            raw = json.loads(data)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            raise ValueError("not a hand-in record of this version")
        raw.setdefault("kind", "")  # doors of earlier versions do not say it
        text = {name: _text(raw, name, most) for name, most in _TEXTS.items()}
        if not JOB_ID.fullmatch(text["job"]) or not _SHA256.fullmatch(text["sha256"]):
            raise ValueError("not the id of a job, or not a SHA-256")
        files = raw.get("files")
        if not isinstance(files, dict) or len(files) > MAX_FILES:
            raise ValueError("`files` is not a small mapping")
        if not all(type(size) is int and size >= 0 for size in files.values()):
            raise ValueError("`files` has a size that is none")
        return cls(**text, files=files)


_TEXTS = {"job": 64, "manifest": 255, "sha256": 64, "by": MAX_BY, "key": MAX_KEY, "kind": 64}


def _text(raw: dict[str, Any], name: str, most: int) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ValueError(f"`{name}` is not a printable text of at most {most} characters")
    return value


def job_of(name: str) -> str | None:
    """Return the job id in the name of a record's file; None for another file."""
    job = name[1 : -len(ENDING)] if name.startswith(".") and name.endswith(ENDING) else ""
    return job if JOB_ID.fullmatch(job) else None


def record_name(job: str) -> str:
    """Return the name in the inbox of the record of a job."""
    return f".{job}{ENDING}"


def digest_of(manifest: bytes) -> str:
    """Return what `HandInRecord.sha256` is for a manifest."""
    return hashlib.sha256(manifest).hexdigest()
