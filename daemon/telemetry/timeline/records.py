"""Reads from the records of jobs, and from the log of the lanes, what ran and what could have run."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.jobs.record import Job, StageRun
from daemon.jobs.stages import BY_NAME
from daemon.jobs.waits import AWAITED
from daemon.queue.awaited_files import COPIED_AGAIN
from daemon.queue.spool import Spool
from daemon.telemetry.lane_log import ALIVE_S, LANE_LOG, read_lane_log
from daemon.telemetry.timeline.intervals import Interval, without


@dataclass(frozen=True)
class Span:
    """One stage of one job, in a slot. `began`, `ended`: seconds since the epoch; `result`: as in `StageRun`, or "running"."""

    slot: str
    stage: str
    job: str
    name: str
    began: float
    ended: float
    result: str


@dataclass
class Past:
    """What is known of a stretch of time.

    Attributes:
        began, ended: of the stretch, seconds since the epoch; it begins with the first thing that is known.
        spans: what ran, by slot.
        ready: when jobs waited for a lane, by lane; `ready_long`: for a long stage in it.
        coming: when jobs were before a stage that a lane did later, by lane.
        paused, loading: by lane, or by slot where its GPU is one of several; `stopped`: when no daemon ran.
    """

    began: float
    ended: float
    spans: dict[str, list[Span]] = field(default_factory=dict)
    ready: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    ready_long: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    coming: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    paused: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    loading: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    stopped: list[Interval] = field(default_factory=list)


def lane_of(slot: str) -> str:
    """Return the lane of a slot: `cpu` for `cpu-2`."""
    return slot.partition("-")[0]


def read_past(spool: Spool, since: float, until: float) -> Past:
    """Read what happened from `since` to `until`, seconds since the epoch."""
    past = Past(since, until)
    spans: list[Span] = []
    for job in _jobs(spool, since):
        spans += _read_job(past, job)
    slots: dict[str, None] = {}
    first = min((span.began for span in spans), default=until)
    for began, entries in _log_by_start(spool.root / LANE_LOG):
        slots |= dict.fromkeys(map(str, began.get("slots") or ()))
        first = min([first, *(entry["at"] for entry in entries)])
        _read_log(past, entries)
    past.began = max(since, min(first, until))
    past.spans = {slot: [] for slot in slots or ("gpu", "voice")}
    for span in sorted(spans, key=lambda one: one.began):
        if span.ended > past.began and span.began < until:
            past.spans.setdefault(_slot_of(past, span), []).append(span)
    return past


def _slot_of(past: Past, span: Span) -> str:
    """Return the slot of a span; for one that still runs, whose slot is not in its record, the first of its lane that is free."""
    if span.result != "running" or span.slot in past.spans:
        return span.slot
    free = [slot for slot, spans in past.spans.items() if lane_of(slot) == span.slot and _is_free(spans, span.began)]
    return free[0] if free else span.slot


def _is_free(spans: list[Span], at: float) -> bool:
    return not spans or spans[-1].ended <= at + 0.05


def _jobs(spool: Spool, since: float) -> Iterator[Job]:
    """Yield each job once: one that moves on meanwhile may be found in its next place, too."""
    seen: set[str] = set()
    for folder in spool.folders()[3:]:
        for place in spool.job_folders(folder):
            with contextlib.suppress(ValueError, OSError):  # it moves on meanwhile
                if folder.name in ("done", "failed") and (place / "job.json").stat().st_mtime < since:
                    continue
                if place.name not in seen:
                    yield spool.load_job(place)
                    seen.add(place.name)


def _read_job(past: Past, job: Job) -> Iterator[Span]:
    """Note when a job waited, and yield what ran."""
    runs = list(job.runs)
    if job.state == "running" and job.stage:
        runs.append(StageRun(job.stage, BY_NAME[job.stage].lanes[0], job.since, past.ended - job.since, "running"))
    end, away = job.accepted, [*_away(job), *_delays(job, runs)]
    for run in runs:
        lane = lane_of(run.slot)
        if lane:
            _ready_for(past, run.stage)[lane] += without([(end, run.began)], away)[1]
            past.coming[lane] += without([(job.accepted, end)], away)[1]
        end = run.began + run.seconds
        yield Span(run.slot, run.stage, job.id, job.name, run.began, end, run.result)
    if job.state == "queued" and job.stage:
        waits = without([(max(job.since, job.not_before), past.ended)], away)[1]
        _ready_for(past, job.stage)[BY_NAME[job.stage].lanes[0]] += waits


def _away(job: Job) -> list[Interval]:
    """Return when a job was in no queue: it was held, or it had ended and was not started again yet."""
    found: list[Interval] = []
    began: float | None = None
    for entry in job.history:
        at, event = entry["at"], entry["event"]
        if event in ("held", "cancelled"):
            began = at if began is None else began
        elif event in ("released", "retry"):
            if began is None and event == "retry":  # it had failed
                began = max((run.began + run.seconds for run in job.runs if run.began < at), default=job.accepted)
            if began is not None:
                found.append((began, at))
            began = None
    return found if began is None else [*found, (began, math.inf)]


def _delays(job: Job, runs: Sequence[StageRun]) -> list[Interval]:
    """Return when a job was in a queue and could not start: an attempt had failed and the next one was not due yet, or the rest
    of one of its files was waited for.
    """
    found: list[Interval] = []
    for run in runs:
        ended = run.began + run.seconds
        retried = (entry["at"] for entry in job.history if entry["event"] == "retry" and entry["at"] >= ended)
        found.append((ended, min(run.again, next(retried, math.inf))))
    for number, entry in enumerate(job.history):
        if entry["event"] == AWAITED:
            copied = (later["at"] for later in job.history[number + 1 :] if later["event"] == COPIED_AGAIN)
            started = (run.began for run in runs if run.began >= entry["at"])
            found.append((entry["at"], min(next(copied, math.inf), next(started, math.inf))))
    return found


def _ready_for(past: Past, stage: str) -> dict[str, list[Interval]]:
    return past.ready_long if BY_NAME[stage].turn == "long" else past.ready


def _log_by_start(path: Path) -> Iterator[tuple[Mapping[str, Any], list[dict[str, Any]]]]:
    """Yield the entries of the log by the daemon that wrote them: its start, and all of its entries up to the next start."""
    entries = list(read_lane_log(path))
    starts = [at for at, entry in enumerate(entries) if entry["event"] == "began"]
    for number, at in enumerate(starts):
        last = number + 1 == len(starts)
        own = entries[at : None if last else starts[number + 1] + 1]
        if last and own[-1]["event"] != "ended":
            with contextlib.suppress(OSError):
                seen = path.stat().st_mtime
                # The daemon writes a sign of life: one that is old means that it is gone.
                gone = time.time() - seen > 2 * ALIVE_S
                own.append({"at": seen if gone else time.time(), "event": "ended" if gone else "now"})
        yield entries[at], own


def _read_log(past: Past, entries: list[dict[str, Any]]) -> None:
    """Note the pauses, loads and the stop of one daemon."""
    open_pauses: dict[str, float] = {}
    end = entries[-1]["at"]
    for entry in entries:
        lane = str(entry.get("lane") or "")
        if entry["event"] == "paused":
            open_pauses.setdefault(lane, entry["at"])
        elif entry["event"] == "resumed" and lane in open_pauses:
            past.paused[lane].append((open_pauses.pop(lane), entry["at"]))
        elif entry["event"] == "loaded":
            past.loading[lane].append((entry["at"] - float(entry.get("seconds") or 0.0), entry["at"]))
        elif entry["event"] == "ended":
            end = entry["at"]
            past.stopped.append((end, past.ended))
        elif entry["event"] == "began" and entry is not entries[0]:
            stopped = past.stopped.pop()[0] if past.stopped and past.stopped[-1][1] == past.ended else None
            end = stopped or max(entries[-2]["at"], float(entry.get("alive") or 0.0))
            past.stopped.append((end, entry["at"]))
    for lane, began in open_pauses.items():
        past.paused[lane].append((began, end))
