"""Files that the daemon itself makes of a batch in the outbox: tables that are written again, and copies of results.

What is there under such a name is replaced only where it is the batch's own: a table names the batch's job somewhere (the first
rows of a report may be those of an earlier batch, or long), and a copy has the content of the result.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from daemon.errors import JobError
from daemon.jobs.facts import Output
from daemon.outbox.temporary_files import temporary_path
from daemon.system import fs, subfolders
from daemon.system.safe_open import open_inside
from daemon.system.subfolders import UnusableFolderError

#: A file is read by so many bytes.
_CHUNK = 1 << 20


def publish_table(root: Path, names: Iterable[str], job_id: str, lines: Iterable[str]) -> Output:
    """Write a table for people, as UTF-8 with the mark by which spreadsheet programs know it. An earlier one is replaced.

    Args:
        names: paths below the outbox; the first one that is free, or has an earlier table of this batch, is taken. A folder may
            refuse it.
        job_id: of the batch; stands in one line at least.

    Returns:
        The file as an entry of `outputs` in a status; its `file` is empty where every name is taken.

    Raises:
        OSError: nothing is left.
    """
    temporary = temporary_path(root, job_id)
    data = "".join(("\ufeff", *lines)).encode("utf-8", "surrogatepass")
    try:
        fs.OPS.write(temporary, data)
        name = next((name for name in names if _give(root, temporary, name, job_id)), "")
    finally:
        fs.discard(temporary)
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def is_table_of(root: Path, name: str, job_id: str) -> bool:
    """Return whether a file below the outbox is a table that names a batch's job."""
    with contextlib.suppress(JobError, OSError), open_inside(root, name) as fd:
        return _names(fd, job_id.encode())
    return False


def copy_result(root: Path, file: str, names: Iterable[str], job_id: str) -> str:
    """Copy a result under another name, of which the first free one is taken in a folder that takes it. Returns it; empty where
    there is none.

    Args:
        file, names: paths below the outbox.
        job_id: of the batch.

    Raises:
        OSError: the result is not there, or cannot be copied.
    """
    temporary = temporary_path(root, job_id)
    fd = subfolders.open_file(root, file)
    try:
        digest = _digest(fd)
        fs.OPS.copy(fd, temporary, os.fstat(fd).st_size, sync=True)
        for name in names:
            with contextlib.suppress(UnusableFolderError):
                if subfolders.publish_into(root, temporary, name, durable=True) or _has_content(root, name, digest):
                    return name
    finally:
        os.close(fd)
        fs.discard(temporary)
    return ""


def _give(root: Path, temporary: Path, name: str, job_id: str) -> bool:
    """Give a table its name; False where something else has that, or its folder refuses it."""
    with contextlib.suppress(JobError, UnusableFolderError):
        if subfolders.publish_into(root, temporary, name, durable=True):
            return True
        with open_inside(root, name) as fd:
            is_own = _names(fd, job_id.encode())
        if is_own:  # it is closed by now, since shares replace no open file
            subfolders.rename_into(root, temporary, name, durable=True)
            return True
    return False


def _names(fd: int, job_id: bytes) -> bool:
    at, end = 0, b""
    while data := os.pread(fd, _CHUNK, at):
        if job_id in end + data:
            return True
        at, end = at + len(data), data[-len(job_id) :]
    return False


def _has_content(root: Path, name: str, digest: bytes) -> bool:
    with contextlib.suppress(JobError), open_inside(root, name) as fd:
        return _digest(fd) == digest
    return False


def _digest(fd: int) -> bytes:
    digest, at = hashlib.sha256(), 0
    while data := os.pread(fd, _CHUNK, at):
        digest.update(data)
        at += len(data)
    return digest.digest()
