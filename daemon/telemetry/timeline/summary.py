"""Counts, for each slot, how long it worked and how long it stood still for which reason."""

from __future__ import annotations

from typing import Any

from daemon.telemetry.timeline.idle import REASONS, idle_times
from daemon.telemetry.timeline.intervals import merged
from daemon.telemetry.timeline.records import Past


def summary(past: Past) -> list[dict[str, Any]]:
    """Return for each slot: `slot`, `busy_s`, `busy` (a part, 0 to 1), `jobs`, and `idle`: reason → seconds."""
    rows = []
    for slot, spans in past.spans.items():
        times = [(max(span.began, past.began), min(span.ended, past.ended)) for span in spans]
        busy_s = sum(ended - began for began, ended in merged(times))
        idle = dict.fromkeys(REASONS, 0.0)
        for one in idle_times(past, slot):
            idle[one.why] += one.ended - one.began
        rows.append({
            "slot": slot,
            "busy_s": round(busy_s, 1),
            "busy": round(busy_s / max(1e-9, past.ended - past.began), 4),
            "jobs": len({span.job for span in spans}),
            "idle": {why: round(seconds, 1) for why, seconds in idle.items() if seconds >= 0.05},
        })  # fmt: skip
    return rows
