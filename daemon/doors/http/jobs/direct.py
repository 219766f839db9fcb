"""Answers a plain `POST /jobs` without the framework's way to a route, which costs more processor time than handing in does.

The route itself stays in `route_jobs.py`: it is what the description tells of, and it answers requests with a query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response

from daemon.doors.http.answers import Door, caller_of
from daemon.doors.http.handing_in import make_job
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.problems import answer_exception

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

_PATH: Final = "/jobs"


class DirectPost:
    """Answers `POST /jobs`, and gives everything else to the app.

    Args:
        app: the app with all routes.
        door: what it works with.
        route: of `POST /jobs`, by which the request is counted.
    """

    def __init__(self, app: FastAPI, door: Door, route: BaseRoute) -> None:
        self._app: ASGIApp = app
        self._framework = app
        self._door = door
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != _PATH or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        scope["app"], scope["route"] = self._framework, self._route
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            caller = await caller_of(request)
            uploads = KeptUploads(self._door.jobs.paths.inbox)
            return await make_job(request, self._door, caller, uploads)
        except Exception as exc:
            return await answer_exception(request, exc)
