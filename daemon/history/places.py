"""The order of jobs in lists: by the time of their acceptance, then by their ids; before them those that no daemon has seen."""

from __future__ import annotations

import calendar

LAST = (1 << 63) - 1
#: Bits of a place below the milliseconds; they come from the job's id, so that jobs of one moment have places of their own.
_ID_BITS = 20
_LATEST_MS = 1 << 42  # the year 2109; what is later is a mistake
#: The places of jobs that no daemon has seen are larger than all of the index.
FIRST_UNSEEN = (_LATEST_MS + 1) << _ID_BITS
_LATEST_S = (1 << 32) - 2  # the year 2106


def start_of(milliseconds: int) -> int:
    """Return the first place of a moment, in milliseconds since the epoch."""
    return max(0, min(milliseconds, _LATEST_MS)) << _ID_BITS


def place_of(milliseconds: int, job: str) -> int:
    """Return the place of a job: the larger, the later. `job`: its id; empty for what is no job yet."""
    return start_of(milliseconds) | int(job[-8:] or "0", 16) % (1 << _ID_BITS)


def place_of_unseen(job: str) -> int:
    """Return the place of a job that no daemon has seen, by the time in its id: the larger, the later. It stays as others come
    and go, so that a page begins behind it.
    """
    parts = [int(job[begin:end]) for begin, end in ((4, 8), (8, 10), (10, 12), (13, 15), (15, 17), (17, 19))]
    try:
        second = calendar.timegm((*parts, 0, 0, 0))
    except ValueError:  # a month that there is not
        second = 0
    return FIRST_UNSEEN + (max(0, min(second, _LATEST_S)) << 30) + (int(job[-8:], 16) >> 2)
