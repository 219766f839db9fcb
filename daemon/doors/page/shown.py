"""Puts into words what pages show: states, stages, times and sizes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

#: What a stage does, in words.
STAGES: Final = {
    "check": "Checks text and voice",
    "face": "Looks at the portrait",
    "tts": "Speaks",
    "lipsync": "Moves mouth and head",
    "encode": "Draws the video",
    "transcode": "Converts the video",
    "generate": "Paints a portrait",
    "transcribe": "Listens to the recording",
    "info": "Looks into the file",
    "deliver": "Delivers",
}
_STATES: Final = {
    "waiting": "Waits",
    "queued": "Waits",
    "running": "Runs",
    "held": "Held",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_FAULTS: Final = {
    "job": "What was handed in has to be changed.",
    "machine": "The service is at fault, not what was handed in.",
    "unknown": "It is not known whose fault it is.",
}


def state_words(job: Mapping[str, Any]) -> str:
    """Return the state of a job in words, with its stage or its place in the queue."""
    state = str(job["state"])
    if state == "running":
        return STAGES.get(str(job.get("stage")), "Runs")
    place = job.get("queue_position")
    if state in ("waiting", "queued") and isinstance(place, int):
        return "Is next" if place == 1 else f"Waits, {ordinal(place)} in the queue"
    return _STATES.get(state, state)


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th …"""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def length(seconds: float | None) -> str:
    """Return a length of time, such as `40 s`, `3 min` or `2 h 5 min`; empty where it is not known."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return "less than 1 s"
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def ago(moment: str | float | None, now: float | None = None) -> str:
    """Return how long ago a moment was; empty where it is not known."""
    if moment is None:
        return ""
    try:
        at = moment if isinstance(moment, int | float) else datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return ""
    passed = (time.time() if now is None else now) - at
    if passed < 10:
        return "just now"
    if passed < 86_400:
        return f"{length(passed)} ago"
    days = round(passed / 86_400)
    return "yesterday" if days == 1 else f"{days} days ago"


def size(count: float | None) -> str:
    """Return a number of bytes, such as `3.4 MB`."""
    if count is None:
        return ""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def whole_error(error: Any) -> dict[str, Any] | None:
    """Return an error with all that pages show of one: the index of jobs keeps less than a status file. None without one."""
    if not isinstance(error, Mapping):
        return None
    return {"code": "", "message": "", "hint": "", "fault": "unknown", "stage": None, **error}


def fault(value: str) -> str:
    """Return in a sentence whose fault an error is."""
    return _FAULTS.get(value, _FAULTS["unknown"])


def code_marks(text: str) -> Markup:
    """Return a sentence in which what stands between backticks is shown as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    marked = (escape(part) if at % 2 == 0 else Markup("<code>{}</code>").format(part) for at, part in enumerate(parts))
    return Markup("").join(marked)


def stage(name: str) -> str:
    """Return what a stage does, in words."""
    return STAGES.get(name, name)


#: What templates can say of a value: name → function.
FILTERS: Final = {one.__name__: one for one in (state_words, length, ago, size, fault, stage, ordinal, code_marks)}
