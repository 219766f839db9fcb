"""How much may still be written to the spool's disk, beyond the reserve that is kept for the jobs at work."""

from __future__ import annotations

import shutil

from daemon.config import Settings
from daemon.errors import Postponed


def available_bytes(settings: Settings) -> float:
    """Bytes that may still be written to the spool's disk; below 0 where the reserve is touched."""
    return shutil.disk_usage(settings.paths.spool).free - settings.intake.reserve_mb * 10**6


def check_room(settings: Settings, name: str, size: int) -> None:
    """Refuse to write `size` bytes where they would touch the reserve.

    Raises:
        Postponed: `no-room`.
    """
    if size > (free := available_bytes(settings)):
        raise no_room_error(name, size, free)


def no_room_error(name: str, size: float, free: float) -> Postponed:
    """The error that says so, for a file of `size` bytes where `free` are left."""
    return Postponed(
        "no-room",
        f"{name} ({size / 1e6:.0f} MB) does not fit on the spool's disk: beyond the reserve "
        f"{max(0.0, free) / 1e6:.0f} MB are free.",
        "Use smaller files, or have the operator free some space.",
        fault="machine",
    )
