"""Finds the mount of a path, and how much room is left there, as the kernel reports it."""

from __future__ import annotations

import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo(5). `root`: folder of the filesystem that is mounted at `point`; not `/` for a bind mount."""

    point: str
    root: str
    kind: str


UNKNOWN_MOUNT = Mount("", "", "unknown")


def free_bytes(path: Path) -> float:
    """Return the free bytes of the filesystem of a path; infinite where it tells no size, as some mounts of shares.

    Raises:
        OSError: it cannot be asked.
    """
    usage = shutil.disk_usage(path)
    return usage.free if usage.total else math.inf


def parse_mountinfo(table: bytes) -> dict[int, Mount]:
    """Parse the text of /proc/self/mountinfo; returns mount id → mount. Invalid lines are skipped."""
    mounts = {}
    for line in table.splitlines():
        fields = line.split(b" ")
        try:
            kind = fields[fields.index(b"-", 6) + 1]
            mounts[int(fields[0])] = Mount(_unescape(fields[4]), _unescape(fields[3]), _unescape(kind))
        except (ValueError, IndexError):
            continue
    return mounts


def _unescape(field: bytes) -> str:
    """Decode a field: the kernel writes space, tab, newline and backslash as three octal digits."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def mount_of(path: Path) -> Mount:
    """Return the mount of a path, or for a path that does not exist, of its nearest existing parent."""
    fd = _open_nearest(path)
    try:
        number = re.search(rb"^mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_bytes(), re.MULTILINE)
        table = Path("/proc/self/mountinfo").read_bytes()
    except OSError:  # no /proc
        return UNKNOWN_MOUNT
    finally:
        os.close(fd)
    return parse_mountinfo(table).get(int(number[1]), UNKNOWN_MOUNT) if number else UNKNOWN_MOUNT


def _open_nearest(path: Path) -> int:
    for place in (path, *path.absolute().parents):
        try:
            return os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
    return os.open("/", os.O_PATH | os.O_CLOEXEC)
