"""Writes the past as a Chrome trace, which Perfetto and chrome://tracing open."""

from __future__ import annotations

from typing import Any

from daemon.telemetry.timeline.idle import idle_times
from daemon.telemetry.timeline.records import Past

#: The one process of the trace, and how its threads are numbered: two for each slot, what ran and why nothing did.
_PROCESS = 1


def trace(past: Past) -> dict[str, Any]:
    """Return the trace: one complete event for each stage of a job and for each reason; times are microseconds."""
    events: list[dict[str, Any]] = [_named("process_name", 0, "avatard")]
    for number, (slot, spans) in enumerate(past.spans.items()):
        ran, idle = 2 * number + 1, 2 * number + 2
        events += [_named("thread_name", ran, slot), _named("thread_name", idle, f"{slot}: idle")]
        events += [_order(ran, ran), _order(idle, idle)]
        for span in spans:
            more = {"job": span.job, "stage": span.stage, "result": span.result}
            events.append(_complete(f"{span.stage}: {span.name}", span.stage, ran, span.began, span.ended, more))
        for one in idle_times(past, slot):
            events.append(_complete(one.why, "idle", idle, one.began, one.ended, {}))
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _complete(
    name: str, category: str, thread: int, began: float, ended: float, more: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": round(began * 1e6), "dur": max(1, round((ended - began) * 1e6))}
    return {"name": name, "cat": category, "ph": "X", "pid": _PROCESS, "tid": thread, **times, "args": more}


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}


def _order(thread: int, index: int) -> dict[str, Any]:
    return {"name": "thread_sort_index", "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"sort_index": index}}
