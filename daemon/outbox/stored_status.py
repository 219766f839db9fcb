"""Reads status files of the outbox, where everybody in the drop group can put anything: their content is not trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from daemon.jobs.record import JOB_ID
from daemon.outbox.names import STATUS_ENDING
from daemon.system import subfolders

#: Larger than any status file, metadata of the manifest included (262,144 bytes and 20,000 values of it, by default).
MAX_STATUS_BYTES = 2 * 2**20


def read_status(root: Path, name: str) -> dict[str, Any] | None:
    """Return the content of a status file; None if it does not exist, or is no readable JSON."""
    try:
        fd = subfolders.open_file(root, f"{name}{STATUS_ENDING}")
    except OSError:
        return None
    try:
        if os.fstat(fd).st_size > MAX_STATUS_BYTES:
            return None
        record = json.loads(_read_up_to(fd, MAX_STATUS_BYTES))
    except (ValueError, OSError, RecursionError):
        return None
    finally:
        os.close(fd)
    return record if isinstance(record, dict) else None


def owner_of(status: dict[str, Any] | None) -> str | None:
    """Return the id of the job that a status is of; None where it names none."""
    job = status.get("job") if status is not None else None
    return job if isinstance(job, str) and JOB_ID.fullmatch(job) else None


def _read_up_to(fd: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (chunk := os.read(fd, 1 << 20)):
        data += chunk
    return data
