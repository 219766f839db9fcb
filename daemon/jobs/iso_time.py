"""Times as people and programs read them in files and answers."""

from __future__ import annotations

import datetime
import time
from typing import overload


@overload
def iso(seconds: float) -> str: ...
@overload
def iso(seconds: None) -> None: ...
@overload
def iso(seconds: float | None) -> str | None: ...
def iso(seconds: float | None) -> str | None:
    """Format seconds since the epoch as an ISO 8601 time in UTC, with milliseconds; None stays None."""
    if seconds is None:
        return None
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    part = int(seconds % 1 * 1000)
    return f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{part:03d}Z"


def read_iso(text: str) -> float:
    """Return the seconds since the epoch of a date or time by ISO 8601, which is in UTC where it names no zone.

    Raises:
        ValueError, OverflowError: it is none.
    """
    moment = datetime.datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
