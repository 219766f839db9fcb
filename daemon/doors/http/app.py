"""Builds the app of the HTTP door, for `avatar server start` and for every other ASGI server.

gunicorn serves it by `daemon/doors/serving/gunicorn_worker.py`. The configuration is that of `$AVATAR_CONFIG`, or of the usual
places.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from daemon import __version__
from daemon.config import Settings
from daemon.doors.http import docs_pages, route_jobs, route_kinds, route_server
from daemon.doors.http.answers import WANTS_KEY, Door, Problem
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.batches import routes as batch_routes
from daemon.doors.http.body import Uploads
from daemon.doors.http.callers import Callers, check_believed
from daemon.doors.http.description.job_schemas import job_schemas
from daemon.doors.http.guard import Guard
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.jobs.direct import DirectPost
from daemon.doors.http.jobs.together import HandInGroups
from daemon.doors.http.kept_uploads import clear_litter
from daemon.doors.http.limits import UploadLedger
from daemon.doors.http.openai import routes as openai_routes
from daemon.doors.http.problems import OPENAI, add_handlers
from daemon.doors.mcp.server import Tools
from daemon.errors import ConfigError
from daemon.system.config_file import config_path
from daemon.telemetry.door_metrics import DoorMetrics

#: Names of this machine by which it may always be called.
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")
#: How often what killed requests left behind is cleared, s.
CLEAR_S: Final = 3600.0
#: In which environment variable `avatar server start` tells its processes where they listen.
BOUND: Final = "AVATAR_SERVER_BOUND"
_ABOUT: Final = (
    "Hands in jobs for talking-head videos, follows them, and fetches their results. What an answer with status 202 accepts is "
    "on the disk, and is made once. Errors are problem details (RFC 9457) with a stable `code`."
)


def create_app(settings: Settings | None = None, bound: str | None = None) -> ASGIApp:
    """Build the app.

    Args:
        settings: those of the service; by default of `$AVATAR_CONFIG` or the usual places.
        bound: address that the server listens on: a name or number, or `unix`. By default what `avatar server start` says,
            else this machine alone.

    Raises:
        ConfigError: `config-missing`, `config-invalid`; `server-open`: others could call a server that asks for no key;
            `server-user-unknown`: keys name who hands in, and nobody would believe them.
    """
    settings = settings or Settings.load(config_path(os.environ.get("AVATAR_CONFIG")))
    address = bound if bound is not None else os.environ.get(BOUND, LOCAL[1])
    keys = ApiKeys(settings.server.keys)
    check_safe(settings, keys, address)
    jobs = Jobs(settings)
    uploads = Uploads(settings.server.max_uploads)
    door = Door(
        settings,
        jobs,
        Callers(keys, settings.paths.inbox, settings.server.user),
        uploads,
        HandInGroups(jobs),
        UploadLedger(settings.paths.inbox),
        DoorMetrics(lambda: uploads.now),
    )

    tools = _tools(door)

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        cleaner = asyncio.create_task(_clear(settings.paths.inbox))
        try:
            async with contextlib.nullcontext() if tools is None else tools.running():
                yield
        finally:
            cleaner.cancel()

    app = FastAPI(
        title="avatard",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        generate_unique_id_function=_operation,
        openapi_tags=[{"name": name} for name in ("jobs", "batches", "voice", "avatar", "video", "openai", "server")],
        redirect_slashes=False,
    )
    app.state.door, app.state.routes = door, []
    add_handlers(app)
    keyed = (route_jobs, route_kinds, batch_routes, openai_routes)
    for module in (route_server, *keyed, docs_pages):
        app.include_router(module.router, dependencies=WANTS_KEY if module in keyed else ())
        app.state.routes += module.router.routes
    if tools is not None:
        app.router.routes.append(tools.route)
        app.state.routes.append(tools.route)
    for pages in _pages():
        app.include_router(pages)
        app.state.routes += pages.routes
    app.openapi = _description(app, keys)  # type: ignore[method-assign]
    post_job = next(route for route in route_jobs.router.routes if getattr(route, "name", "") == "post_job")
    return Guard(
        DirectPost(app, door, post_job), [*LOCAL, *settings.server.hosts, *_own_names(address)], door.metrics.seen
    )


def _pages() -> list[APIRouter]:
    """Return the routers of the page."""
    from daemon.doors.page import (
        pages,
        route_batches,
        route_job,
        route_list,
        route_profiles,
        route_system,
        signed_in,
    )
    from daemon.doors.page.new import routes as route_new

    shown = (pages, signed_in, route_list, route_job, route_new, route_batches, route_profiles, route_system)
    return [*(one.router for one in shown), pages.unknown]


def _tools(door: Door) -> Tools | None:
    """Return the tools for assistants; None without the extra `mcp`."""
    try:
        return Tools(door)
    except ImportError:
        return None


def check_safe(settings: Settings, keys: ApiKeys, address: str) -> None:
    """Refuse to serve what others could use without a key, or keys on which nobody relies.

    Raises:
        ConfigError: as `create_app`.
    """
    if not keys.wanted():
        if not is_local(address):
            raise ConfigError(
                "server-open",
                f"On {address} everybody who reaches this machine could hand in jobs: there is no API key.",
                "Make one by `avatar key add NAME`, or listen on 127.0.0.1.",
            )
        return
    check_believed(settings.server.user)


def is_local(address: str) -> bool:
    """Return whether only this machine can reach an address."""
    if address in ("unix", "localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    return False


def _own_names(address: str) -> Iterable[str]:
    if address in ("", "unix"):
        return ()
    name = f"[{address}]" if ":" in address and not address.startswith("[") else address
    everywhere = address in ("0.0.0.0", "::", "[::]")
    return (socket.gethostname(), socket.getfqdn()) if everywhere else (name,)


def _operation(route: APIRoute) -> str:
    """Return the name of an operation in the description: that of its function."""
    return route.name


def _description(app: FastAPI, keys: ApiKeys) -> Callable[[], dict[str, Any]]:
    """Return what describes the API, with the shapes that are no types in Python: of errors and of a job's status."""
    made = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            schemas = schema["components"]["schemas"]
            schemas |= {"Problem": Problem.model_json_schema(), **job_schemas(), **openai_routes.speech_schemas()}
            for unused in ("HTTPValidationError", "ValidationError"):  # the framework's own
                del schemas[unused]
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    if path.startswith(OPENAI):
                        operation["responses"].pop("422", None)  # the framework's own; it is a 400 there
                    if not keys.wanted() and "security" in operation:
                        operation["security"].append({})  # none is asked for as long as there is none
        return app.openapi_schema or {}

    return describe


async def _clear(inbox: Path) -> None:
    while True:
        await run_in_threadpool(clear_litter, inbox)
        await asyncio.sleep(CLEAR_S)
