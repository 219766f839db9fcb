"""Reads the state of the whole queue from the disk: running jobs and their progress, waiting jobs, finished jobs.

It lists the folders of waiting jobs but does not read their records, so that a hundred thousand jobs stay cheap.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon import __version__
from daemon.cli import outbox_view
from daemon.cli.common import Shell, disk_room
from daemon.doors.hooks.trouble import find_troubles
from daemon.jobs.iso_time import iso
from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES
from daemon.outbox.checked_status import checked
from daemon.outbox.outbox import Outbox
from daemon.queue.pauses import read_pauses
from daemon.queue.spool import RESTING
from daemon.telemetry.state_file import loaded_models, read_state

ENDED = 10  # how many finished jobs are told, the latest first


def status_overview(shell: Shell) -> dict[str, Any]:
    """Return the value of `avatar status --json`; times are UTC, sizes bytes, durations seconds. `source`: spool, or outbox where
    whoever asks may not read the spool.
    """
    if shell.spool_closed:
        return outbox_view.status_overview(shell)
    from daemon.system import gpu  # the library takes its time to load, and few commands need it

    owner = shell.daemon()
    spool, paths = shell.spool, shell.settings.paths
    state = read_state(spool.root / "state.json") if owner else {}
    counts = {str(name): sum(1 for _ in spool.job_folders(spool.root / name)) for name in RESTING}
    return {
        "version": __version__,
        "source": "spool",
        "daemon": owner and _in_iso(owner),
        "paused": {
            scope: _in_iso(asdict(pause))
            for scope, pause in read_pauses(spool.root / "paused.json").items()
            if pause.left_s > 0
        },
        "paused_lanes": {lane: _in_iso(fault) for lane, fault in state.get("paused_lanes", {}).items()},
        "unwatched": state.get("unwatched"),
        "slots": state.get("slots", []),
        "models": [_in_iso(model) for model in loaded_models(state)],
        "queues": {stage: _queue(spool.root / stage) for stage in STAGES},
        **counts,
        "waiting": sum(1 for _ in spool.waiting.glob("job-*.json")),
        "running": list(_running(shell)) if owner else [],
        "ended": [_ending(job) for job in _ended(shell)],
        "disk": {name: disk_room(getattr(paths, name)) for name in ("spool", "outbox")},
        "gpus": [asdict(card) for card in gpu.read_cards()],
        "hooks": [trouble.to_json() for trouble in find_troubles(shell.settings)],
    }


def _in_iso(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the spool, whose times are seconds since the epoch, with times as everywhere in the status."""
    times = {key: iso(record[key]) for key in ("since", "until") if isinstance(record.get(key), int | float)}
    return {**record, **times}


def daemon_absent(now: dict[str, Any]) -> bool:
    """Return whether an overview says that no daemon runs. Read from the outbox, an unreachable daemon counts as running."""
    return now["daemon"] is None and (now["source"] == "spool" or now["health"] == "")


def describe_unknown_daemon(now: dict[str, Any]) -> str:
    """Describe a daemon whose state can only be read from outside the spool."""
    return f"answers: {now['health']}" if now["health"] else "may run; only who may read the spool can tell"


def describe_hook_troubles(now: dict[str, Any]) -> list[str]:
    """Describe in lines what keeps the hooks from telling others."""
    return [
        " ".join(filter(None, (one["hook"] and f"{one['hook']}:", one["message"], one["hint"]))) for one in now["hooks"]
    ]


def describe_slot(slot: dict[str, Any]) -> str:
    """Describe what a slot of a GPU is doing."""
    if slot["state"] == "runs" and slot["name"] is None:  # its job begins, or has ended and its GPU is looked at
        return "is between two jobs"
    if slot["state"] == "runs":
        return f"runs {slot['stage']} of {slot['name']}"
    return {"paused": "stands still", "loads": "loads models"}.get(slot["state"], "waits for work")


def _queue(folder: Path) -> dict[str, Any]:
    """Return how many wait and run. A folder is changed by the hop that brought it, so its time is the job's arrival."""
    arrivals = list(_times(folder / "ready"))
    return {
        "ready": len(arrivals),
        "active": sum(1 for _ in _times(folder / "active")),
        "oldest": iso(min(arrivals)[0]) if arrivals else None,
    }


def _times(folder: Path) -> Iterator[tuple[float, str]]:
    """Yield the folders of jobs below a folder, with the time of their last change."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.startswith("job-"):
                    yield entry.stat(follow_symlinks=False).st_mtime, entry.path


def _running(shell: Shell) -> Iterator[dict[str, Any]]:
    for stage in STAGES:
        for path in shell.spool.job_folders(shell.spool.active(stage)):
            with contextlib.suppress(ValueError, OSError):  # it moved on while we looked
                job = shell.spool.load_job(path)
                yield {
                    "job": job.id,
                    "name": job.name,
                    "stage": stage,
                    "since": iso(job.since),
                    **_progress(shell, job),
                }


def _progress(shell: Shell, job: Job) -> dict[str, Any]:
    """Return how far it is, from the status file that people see, and can change."""
    status = checked(job.name, Outbox(shell.settings.paths.outbox).read_status(job.name)) or {}
    return {"progress": status.get("progress"), "eta_s": status.get("eta_s")}


def _ended(shell: Shell) -> Iterator[Job]:
    folders = [shell.spool.root / name for name in ("done", "failed")]
    latest = heapq.nlargest(ENDED, (found for folder in folders for found in _times(folder)))
    for _, path in latest:
        with contextlib.suppress(ValueError, OSError):
            yield shell.spool.load_job(Path(path))


def _ending(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "name": job.name,
        "state": job.state,
        "finished": iso(job.finished),
        "took_s": round(job.finished - job.accepted, 1) if job.finished else None,
        "code": job.error and job.error.get("code"),
        "fault": job.error and job.error.get("fault"),
    }
