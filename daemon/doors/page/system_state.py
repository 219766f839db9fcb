"""What the page of the system shows admins: what runs, what is paused, room on the disks, GPUs, and the last hour."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from daemon import __version__
from daemon.config import Settings
from daemon.doors.http.answers import Door
from daemon.doors.http.callers import Caller
from daemon.doors.page.job_rows import states_of
from daemon.errors import MachineError
from daemon.history.database import HistoryError
from daemon.history.query import Query
from daemon.queue.lock import lock_holder
from daemon.queue.pauses import Pause, read_pauses
from daemon.queue.spool import Spool
from daemon.system.gpu import Card, read_cards
from daemon.system.installation import how_to_start
from daemon.telemetry.state_file import loaded_models, read_state
from daemon.telemetry.timeline.picture import draw
from daemon.telemetry.timeline.records import Past, read_past
from daemon.telemetry.timeline.summary import summary
from daemon.telemetry.timeline.write import to_svg

#: How much of the past is drawn, s.
PAST_S: Final = 3600.0
#: How long the doctor may take, s: it speaks with every engine.
DOCTOR_S: Final = 180.0
#: What the doctor says of the file that it is given here, and not of the service's own.
_OF_THE_FILE: Final = "configuration"


@dataclass(frozen=True)
class Disk:
    """A folder and its disk. Sizes in bytes; `low`: less is free than the service keeps back."""

    name: str
    path: str
    free: int
    total: int
    low: bool


@dataclass(frozen=True)
class SystemState:
    """How the system stands. What this machine does not have, or this process may not see, is empty.

    Attributes:
        running: whether the daemon runs; None where that is not known.
        process: its id; `since`: when it began, seconds since the epoch.
        start: how to start it.
        jobs: state → number of jobs.
        now: statuses of the jobs that run.
        pauses: scope → what somebody ordered; `faults`: lane → what stopped it.
    """

    version: str
    running: bool | None
    process: int | None
    since: float | None
    start: str
    jobs: Mapping[str, int]
    now: list[dict[str, Any]]
    pauses: Mapping[str, Pause]
    faults: Mapping[str, Mapping[str, Any]]
    disks: list[Disk]
    cards: list[Card]
    gpu_slots: list[dict[str, Any]]
    models: list[dict[str, Any]]


def system_state(door: Door, caller: Caller) -> SystemState:
    """Return how the system stands."""
    settings, jobs = door.settings, door.jobs
    spool = Spool(settings.paths.spool)
    known: bool | None
    try:
        holder = lock_holder(spool.lock)
        known = holder is not None
    except OSError:
        holder, known = None, None
    state = read_state(spool.root / "state.json") if known else {}
    try:
        counts = states_of(jobs, caller)
        found, _ = jobs.find(Query(state=["running"]), caller, limit=50, after=None)
        now = [{"progress": 0.0, "by": None, **jobs.full(one)} for one in found]
    except HistoryError:
        counts, now = {}, []
    faults, slots = state.get("paused_lanes"), state.get("slots")
    return SystemState(
        version=__version__,
        running=known,
        process=(holder or {}).get("pid"),
        since=(holder or {}).get("since"),
        start=how_to_start() if known is False else "",
        jobs=counts,
        now=now,
        pauses={scope: one for scope, one in read_pauses(spool.root / "paused.json").items() if one.left_s > 0},
        faults=faults if isinstance(faults, dict) else {},
        disks=disks_of(settings),
        cards=read_cards(),
        gpu_slots=[one for one in slots if isinstance(one, dict)] if isinstance(slots, list) else [],
        models=loaded_models(state),
    )


def disks_of(settings: Settings) -> list[Disk]:
    """Return the folders of the service that this process can see, those on one disk together."""
    reserve, found = settings.intake.reserve_mb * 2**20, dict[int, tuple[list[str], Path]]()
    paths = settings.paths
    for name, path in (
        ("inbox", paths.inbox),
        ("spool", paths.spool),
        ("outbox", paths.outbox),
        ("models", paths.models),
    ):
        try:
            found.setdefault(path.stat().st_dev, ([], path))[0].append(name)
        except OSError:
            continue
    disks = []
    for names, path in found.values():
        try:
            room = shutil.disk_usage(path)
        except OSError:
            continue
        disks.append(
            Disk(
                " and ".join([", ".join(names[:-1])] * bool(names[:-1]) + names[-1:]),
                str(path),
                room.free,
                room.total,
                room.free < reserve,
            )
        )
    return disks


def last_hour(settings: Settings) -> Past | None:
    """Return what ran in the last hour; None where this process may not look into the spool."""
    if not os.access(settings.paths.spool, os.R_OK | os.X_OK):
        return None
    now = time.time()
    return read_past(Spool(settings.paths.spool), now - PAST_S, now)


def busy_slots(settings: Settings) -> list[dict[str, Any]]:
    """Return how busy each slot was in the last hour, as `avatar timeline` tells it; empty where that cannot be seen."""
    past = last_hour(settings)
    return [] if past is None else summary(past)


def last_hour_svg(settings: Settings) -> str:
    """Return the last hour as a picture, as `avatar timeline` draws it.

    Raises:
        MachineError: `not-allowed`: this process may not look into the spool.
    """
    past = last_hour(settings)
    if past is None:
        raise MachineError("not-allowed", "This server may not look into the spool.", "`avatar timeline` draws it.")
    return to_svg(draw(past))


def examine(settings: Settings) -> list[dict[str, str]]:
    """Return what `avatar doctor` finds: `what`, `verdict` (good, note or bad), `found`, `remedy`.

    It runs in a process of its own, as it loads every engine, and sees this process's rights, not the daemon's.

    Raises:
        MachineError: `doctor-failed`.
    """
    with tempfile.TemporaryDirectory(prefix="avatard-doctor-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps(settings.model_dump(mode="json")), encoding="utf-8")
        command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "doctor", "--json"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=DOCTOR_S, cwd=folder, check=False)
            found = json.loads(done.stdout)
        except (OSError, subprocess.TimeoutExpired, ValueError) as exc:
            why = (
                f"it took more than {DOCTOR_S:.0f} s"
                if isinstance(exc, subprocess.TimeoutExpired)
                else "it ended early"
            )
            raise MachineError(
                "doctor-failed",
                f"The check of this machine gave no answer: {why}.",
                "Run `avatar doctor` in a terminal.",
            ) from exc
    return [one for one in found if isinstance(one, dict) and one.get("what") != _OF_THE_FILE]


def percent(part: float) -> str:
    """Return a part as a percentage; empty where it is not known."""
    return "" if math.isnan(part) else f"{part:.0%}"
