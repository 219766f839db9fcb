"""The routes about the server itself: what it is, whether it works, and how the service stands."""

from __future__ import annotations

import math
import os
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from daemon import __version__
from daemon.doors.http.answers import WANTS_KEY, Calling, TheDoor, cached, may_answer, to_root
from daemon.doors.http.description.answers import About, Health, QueuePause, ServiceStatus
from daemon.doors.http.problems import RequestError
from daemon.errors import AvatarError
from daemon.history.database import HistoryError
from daemon.jobs.iso_time import iso
from daemon.queue.lock import lock_holder
from daemon.queue.pauses import read_pauses
from daemon.queue.spool import Spool
from daemon.system.mounts import free_bytes
from daemon.telemetry.state_file import loaded_models, read_state

router = APIRouter(tags=["server"])


@router.get("/", summary="What this is", responses={**may_answer(), 200: {"model": About}})
def index(request: Request) -> JSONResponse:
    """Say what this server is, and where to go on."""
    root = to_root(request)
    pages = (
        "health",
        "status",
        "jobs",
        "jobs/stats",
        "voice/profiles",
        "avatar/profiles",
        "docs",
        "redoc",
        "openapi.json",
    )
    told: About = {"name": "avatard", "version": __version__, "links": {page: f"{root}{page}" for page in pages}}
    return JSONResponse(told)


_HEALTH = may_answer()


@router.get(
    "/health",
    summary="Whether this server works",
    responses={**_HEALTH, 200: {"model": Health}, 503: {**_HEALTH[503], "model": Health}},
)
def health(door: TheDoor) -> JSONResponse:
    """Say whether jobs can be handed in: 200, or 503 with what is wrong. The daemon need not run for that."""
    paths, wrong = door.jobs.paths, []
    if not os.access(paths.inbox, os.W_OK | os.X_OK):
        wrong.append("the inbox cannot be written")
    if not os.access(paths.outbox, os.R_OK | os.X_OK):
        wrong.append("the outbox cannot be read")
    try:
        if not wrong:
            door.jobs.check_folders()
        if not wrong and free_bytes(paths.inbox) < door.bounds.reserve_bytes:
            wrong.append("the disk of the inbox is full")
        door.callers.check()
    except OSError as exc:
        wrong.append(f"the disk of the inbox cannot be read: {exc.strerror}")
    except AvatarError as exc:
        wrong.append(exc.code)
    told: Health = {"ok": not wrong, "wrong": wrong}
    return JSONResponse(told, 503 if wrong else 200, {"Cache-Control": "no-store"})


@router.get(
    "/status",
    summary="How the service stands",
    responses={**may_answer(304), 200: {"model": ServiceStatus}},
    dependencies=WANTS_KEY,
)
def status(request: Request, door: TheDoor, caller: Calling) -> Response:
    """Say whether the daemon runs, what is paused and why, how many jobs stand where, and room on the disks; null: unknown."""
    spool, paths = Spool(door.jobs.paths.spool), door.jobs.paths
    running: bool | None
    try:
        running = lock_holder(spool.lock) is not None
    except OSError:
        running = None
    state = read_state(spool.root / "state.json")
    try:
        counts: dict[str, Any] | None = door.jobs.stats("" if caller.sees_all else caller.name)["states"]
    except HistoryError:
        counts = None
    try:
        pauses: dict[str, QueuePause] = {
            scope: {"by": pause.by, "reason": pause.reason, "since": iso(pause.since)}
            for scope, pause in read_pauses(spool.root / "paused.json").items()
            if pause.left_s > 0
        }
    except OSError:
        pauses = {}
    models = loaded_models(state) if running else []
    told: ServiceStatus = {
        "version": __version__,
        "daemon": {"running": running},
        "paused": pauses,
        "paused_lanes": state.get("paused_lanes", {}) if running else {},
        "jobs": counts,
        "models": [{"model": one.get("model"), "stage": one.get("stage")} for one in models],
        "disk": {
            name: {"free_bytes": int(free) if math.isfinite(free := free_bytes(path)) else None}
            for name, path in (("inbox", paths.inbox), ("outbox", paths.outbox))
            if path.is_dir()
        },
    }
    return cached(request, told)


@router.get(
    "/metrics",
    summary="Figures of this process",
    response_class=Response,
    responses={**may_answer(), 200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
    dependencies=WANTS_KEY,
)
def metrics(door: TheDoor, caller: Calling) -> Response:
    """Return requests by route and status, how long they took, refusals by code, and uploads, for Prometheus. For admins."""
    if not caller.sees_all:
        raise RequestError("not-allowed", "The figures are for admins.", "Use a key whose role is admin.")
    return Response(door.metrics.text(), media_type="text/plain; version=0.0.4", headers={"Cache-Control": "no-store"})
