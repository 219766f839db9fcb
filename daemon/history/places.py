"""The order of jobs in the index: by the time of their acceptance, and then by their ids."""

from __future__ import annotations

LAST = (1 << 63) - 1
#: Bits of a place below the milliseconds; they come from the job's id, so that jobs of one moment have places of their own.
_ID_BITS = 20
_LATEST_MS = 1 << 42  # the year 2109; what is later is a mistake


def start_of(milliseconds: int) -> int:
    """Return the first place of a moment, in milliseconds since the epoch."""
    return max(0, min(milliseconds, _LATEST_MS)) << _ID_BITS


def place_of(milliseconds: int, job: str) -> int:
    """Return the place of a job: the larger, the later. `job`: its id; empty for what is no job yet."""
    return start_of(milliseconds) | int(job[-8:] or "0", 16) % (1 << _ID_BITS)
