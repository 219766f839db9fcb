"""Measures the free space on the spool's disk beyond the reserve, which is kept for running jobs."""

from __future__ import annotations

import shutil

from daemon.config import Settings
from daemon.errors import Postponed


def available_bytes(settings: Settings) -> float:
    """Return the bytes that may still be written to the spool's disk; negative where the reserve is used already."""
    return shutil.disk_usage(settings.paths.spool).free - settings.intake.reserve_mb * 10**6


def check_room(settings: Settings, name: str, size: int) -> None:
    """Check that `size` bytes can be written without using the reserve. `name`: the file, for the message.

    Raises:
        Postponed: `no-room`.
    """
    if size > (free := available_bytes(settings)):
        raise no_room_error(name, size, free)


def no_room_error(name: str, size: float, free: float) -> Postponed:
    """Return the error for a file of `size` bytes where `free` bytes are available."""
    return Postponed(
        "no-room",
        f"{name} ({size / 1e6:.0f} MB) does not fit on the spool's disk: "
        f"{max(0.0, free) / 1e6:.0f} MB are free beyond the reserve.",
        "Use smaller files, or ask the operator to free disk space.",
        fault="machine",
    )
