"""Files that the daemon itself makes of a batch in the outbox: reports that are written again, and copies of results."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daemon.outbox.temporary_files import temporary_path
from daemon.system import fs, subfolders


def publish_table(
    root: Path, names: Iterable[str], job_id: str, lines: Iterable[str], ours: str = ""
) -> dict[str, Any]:
    """Write a table for people, as UTF-8 with the mark by which spreadsheet programs know it.

    Args:
        names: paths below the outbox; the first one that is free is taken.
        job_id: of the batch.
        ours: path of the file that this one replaces, where it was written before.

    Returns:
        The file as an entry of `outputs` in a status; its `file` is empty where every name is taken.

    Raises:
        OSError: nothing is left.
    """
    temporary = temporary_path(root, job_id)
    data = "".join(("\ufeff", *lines)).encode("utf-8", "surrogatepass")
    try:
        fs.OPS.write(temporary, data)
        name = _put(root, temporary, names, ours)
    finally:
        fs.discard(temporary)
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def copy_result(root: Path, file: str, name: str, job_id: str) -> bool:
    """Copy a result under another name; nothing is replaced. Returns False where that is taken.

    Args:
        file, name: paths below the outbox.
        job_id: of the batch.

    Raises:
        OSError: the result is not there, or cannot be copied.
    """
    temporary = temporary_path(root, job_id)
    fd = subfolders.open_file(root, file)
    try:
        fs.OPS.copy(fd, temporary, os.fstat(fd).st_size, sync=True)
        return subfolders.publish_into(root, temporary, name, durable=True)
    finally:
        os.close(fd)
        fs.discard(temporary)


def _put(root: Path, temporary: Path, names: Iterable[str], ours: str) -> str:
    if ours:
        subfolders.rename_into(root, temporary, ours, durable=True)
        return ours
    return next((name for name in names if subfolders.publish_into(root, temporary, name, durable=True)), "")
