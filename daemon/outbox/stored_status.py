"""Reads status files of the outbox, where everybody in the drop group can put anything: their content is not trusted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from daemon.jobs.record import JOB_ID
from daemon.outbox.names import STATUS_ENDING
from daemon.system import subfolders

#: More than the first keys of a status, with the longest path and all its letters escaped.
HEAD_BYTES = 64 * 2**10
#: In what `dump_json` writes, the end of the keys of the file itself before one that has others below it.
_FIRST_GROUP = re.compile(r',\n "[a-z_]+": [\[{]')
#: Larger than any status file, metadata of the manifest included (262,144 bytes and 20,000 values of it, by default).
MAX_STATUS_BYTES = 2 * 2**20


def read_status(root: Path, name: str, owners: Collection[int] | None = None) -> dict[str, Any] | None:
    """Return the content of a status file; None if it does not exist, is no readable JSON, or belongs to none of the user ids
    `owners`, where they are given.
    """
    try:
        fd = subfolders.open_file(root, f"{name}{STATUS_ENDING}")
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if info.st_size > MAX_STATUS_BYTES or (owners is not None and info.st_uid not in owners):
            return None
        record = json.loads(_read_up_to(fd, MAX_STATUS_BYTES))
    except (ValueError, OSError, RecursionError):
        return None
    finally:
        os.close(fd)
    return record if isinstance(record, dict) else None


def read_head(root: Path, name: str) -> dict[str, Any] | None:
    """Return the keys of a status file that stand before its first list or group of keys: whose it is, its state, its source.

    Reading them costs the same for every file, since people may put thousands of large ones where names are looked for.
    """
    try:
        fd = subfolders.open_file(root, f"{name}{STATUS_ENDING}")
    except OSError:
        return None
    try:
        text = _read_up_to(fd, HEAD_BYTES).decode("utf-8", "ignore")
    except OSError:
        return None
    finally:
        os.close(fd)
    found = _FIRST_GROUP.search(text)
    try:
        record = json.loads(text if found is None else f"{text[: found.start()]}\n}}")
    except (ValueError, RecursionError):
        return None
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
