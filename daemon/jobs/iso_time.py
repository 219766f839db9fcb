"""Times as people and programs read them in files and answers."""

from __future__ import annotations

import time


def iso(seconds: float | None) -> str | None:
    """Format seconds since the epoch as an ISO 8601 time in UTC, with milliseconds; None stays None."""
    if seconds is None:
        return None
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
