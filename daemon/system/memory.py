"""Measures the memory that this process may use (the machine, or its control group), and gives free memory back."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
#: Folders of the hierarchy of version 2: alone, or beside version 1.
_V2 = ("", "unified")


def release_free_memory() -> None:
    """Return freed memory to the system, which glibc would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def memory_mb(membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> float:
    """Return the memory that this process may use, in MB (10^6 bytes)."""
    return min(machine_mb(), limit_mb(membership, groups) or machine_mb())


def machine_mb() -> float:
    """Return the memory of this machine, in MB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6


def limit_mb(membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> float | None:
    """Return the lowest limit between this process's control group and the root, in MB; None if there is none.

    Args:
        membership: cgroups(7): lines `number:controllers:path`; version 2 has number 0 and no controllers.
        groups: folder in which the hierarchies are mounted.
    """
    found = [limit for path in _files(membership, groups) if (limit := _limit(path)) is not None]
    return min(found, default=None)


def _files(membership: Path, groups: Path) -> Iterator[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            roots, name = [groups / root for root in _V2], "memory.max"
        elif "memory" in controllers.split(","):
            roots, name = [groups / "memory"], "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, and only the root is there.
        for folder in (PurePosixPath(path), *PurePosixPath(path).parents):
            yield from (root / str(folder).lstrip("/") / name for root in roots)


def _limit(path: Path) -> float | None:
    try:
        return int(path.read_text()) / 1e6  # version 2 writes `max`, version 1 a number larger than any memory
    except (OSError, ValueError):
        return None
