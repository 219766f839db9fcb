"""Measures the memory that this process may use (the machine, or its control group) and that others use, and gives it back."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
#: Memory is short with less than this left, in MB and as a part of all.
LEAST_MB, LEAST_PART = 1000.0, 0.1
#: Parameters of glibc's mallopt(3); the size from which a block goes back at once, and how much of the heap's end is kept: what a
#: frame takes is neither asked for nor given back each time; bytes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BLOCK, _FREE_TOP = 1 << 20, 8 << 20
#: Lines of /proc/PID/status whose sum is what a process holds.
_HELD = ("RssAnon:", "RssShmem:", "VmSwap:")
#: Folders of the hierarchy of version 2: alone, or beside version 1.
_V2 = ("", "unified")


def release_free_memory() -> None:
    """Return freed memory to the system, which glibc would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def return_large_blocks() -> None:
    """Let this process's large blocks of memory go back to the system as soon as they are freed.

    glibc does so at first, but takes the size of each large block that is freed for one that is needed often: from then on,
    blocks up to that size, of 32 MB at most, come from its heap, where the free places between them stay with this process.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        for parameter, size in ((_M_MMAP_THRESHOLD, _LARGE_BLOCK), (_M_TRIM_THRESHOLD, _FREE_TOP)):
            choose(parameter, size)


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


def available_mb(membership: Path = MEMBERSHIP, groups: Path = GROUPS, meminfo: Path = MEMINFO) -> float:
    """Return the memory that this process could still use without another one's being taken, in MB; of the machine and of the
    control groups whose limit it shares.
    """
    found = [free for path in _files(membership, groups) if (free := _unused(path)) is not None]
    try:
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024 / 1e6)
    except (OSError, ValueError, StopIteration):
        found.append(machine_mb())
    return min(found)


def is_short() -> bool:
    """Return whether too little memory is left for processes that only stand ready."""
    return available_mb() < max(LEAST_MB, LEAST_PART * memory_mb())


def own_memory_bytes() -> int:
    """Return the memory that this process holds, without its children, in bytes. Pages of mapped files are not counted."""
    return _sum_kb(Path("/proc/self/status"), _HELD)


def process_memory_mb(pid: int) -> float:
    """Return the memory that a process and its children hold, in MB (10^6 bytes); 0 for processes that are gone.

    What they share counts once. Pages of mapped files, such as a model's, are not counted: the kernel takes them back when
    memory is short.
    """
    return sum(map(_held_bytes, [pid, *_child_pids(pid)])) / 1e6


def _held_bytes(pid: int) -> int:
    """Return the memory that a process holds; a page that several processes share counts with its part."""
    folder = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError, ValueError, IndexError):
        if found := _sum_kb(folder / "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")):
            return found
    with contextlib.suppress(OSError, ValueError, IndexError):  # a kernel before 5.4, or built without smaps
        return _sum_kb(folder / "status", _HELD)
    return 0


def _sum_kb(path: Path, names: tuple[str, ...]) -> int:
    """Add the values, in KB, of some lines of a file of /proc; returns bytes."""
    lines = (line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return sum(int(line[1]) for line in lines if line and line[0] in names) * 1024


def _child_pids(pid: int) -> list[int]:
    """Return the ids of the processes that any thread of a process started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _unused(path: Path) -> float | None:
    """Return the memory below a limit that is not in use, in MB; pages of files count as free. None where there is no limit."""
    if (limit := _limit(path)) is None:
        return None
    version_2 = path.name == "memory.max"
    try:
        used = int(path.with_name("memory.current" if version_2 else "memory.usage_in_bytes").read_text())
        stat = dict(line.split() for line in path.with_name("memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return limit - (used - int(stat.get("inactive_file", 0))) / 1e6


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
