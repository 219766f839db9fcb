"""Temporary files of the outbox: their names, and what is left of them after a crash."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from daemon.system.subfolders import TEMPORARY_FOLDER

#: Begins every temporary name in the outbox, also those of `stages.deliver` and `daemon.system.subfolders`.
_BEGIN = ".job-"
_ID_LENGTH = len("job-20260102T030405Z-0a1b2c3d")


def temporary_path(root: Path, job_id: str) -> Path:
    """Return an unpredictable path, so that nobody can place a link there. Leftovers are removed when the daemon starts."""
    return root / f".{job_id}.{secrets.token_hex(6)}.json.tmp"


def leftovers(root: Path, live: frozenset[str]) -> list[Path]:
    """Return leftover temporary files and folders, except those of jobs in `live`, which are being delivered. Other folders of
    such names are people's.
    """
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            if not entry.name.startswith(_BEGIN):
                continue
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(TEMPORARY_FOLDER):
                continue
            if entry.name.endswith(".tmp") or entry.name[1 : 1 + _ID_LENGTH] not in live:
                found.append(root / entry.name)
    return found
