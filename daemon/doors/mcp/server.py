"""The tools at `/mcp`, where the extra `mcp` is installed: each caller's own jobs, with the rights and limits of the API key."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
from anyio.abc import TaskGroup, TaskStatus
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from daemon.doors.http.answers import Door
from daemon.doors.http.callers import Caller
from daemon.doors.http.kept_uploads import KeptUploads
from daemon.doors.http.problems import RequestError, answer_error, told_of
from daemon.errors import AvatarError
from daemon.history.query import Query

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH: Final = "/mcp"
_UPLOAD: Final = "upload:"
#: A request with a file of 4 MiB in Base64, and something around it.
_MAX_BODY_BYTES: Final = 6 * 2**20


class ServerDesk:
    """The desk of one caller of the HTTP server.

    Args:
        door: what the routes work with.
        caller: who asks.
        base: address of the server as this caller calls it, with `/` at its end.
    """

    def __init__(self, door: Door, caller: Caller, base: str) -> None:
        self._door, self._caller, self._base = door, caller, base
        self._uploads = KeptUploads(door.jobs.paths.inbox)
        self.outbox = door.jobs.paths.outbox
        self._ids: dict[str, str] = {}

    def submit(self, manifest: Mapping[str, Any], files: Mapping[str, Path], name: str | None) -> str:
        """Hand in a job; see `Desk`."""
        self._caller.check_may_submit()
        self._door.ledger.check(self._caller, 0)
        sent = sum(path.stat().st_size for path in files.values())
        self._door.ledger.add(self._caller, sent)
        return self._door.jobs.hand_in(dict(manifest), files, self._caller, name=name, take=False).job

    def file(self, reference: str) -> Path:
        """Return an upload of this caller.

        Raises:
            RequestError: `path-refused`, `upload-unknown`.
        """
        if not reference.startswith(_UPLOAD):
            raise RequestError(
                "path-refused",
                f"{reference[:80]} is a path, and this server takes no file of its own machine.",
                "Upload the file by POST /uploads, and write upload:ID; or give a data URI.",
            )
        return self._uploads.find(reference.removeprefix(_UPLOAD), self._caller)

    def status(self, job: str) -> Mapping[str, Any]:
        """Return the status of a job; see `Desk`."""
        return self._door.status(self._id_of(job), self._caller)

    def find(self, state: str, search: str, limit: int) -> list[Mapping[str, Any]]:
        """Return this caller's jobs; see `Desk`."""
        own = [] if self._caller.sees_all else [self._caller.name]
        query = Query(state=[state] if state else [], search=search, by=own).without_looks
        return [
            self._door.jobs.full(row) for row in self._door.jobs.find(query, self._caller, limit=limit, after=None)[0]
        ]

    def cancel(self, job: str) -> str:
        """Cancel a job; see `Desk`."""
        return self._door.jobs.ask("cancel", self._id_of(job), self._caller)

    def _id_of(self, job: str) -> str:
        """Return the id of a job, which is looked for once: who waits asks again and again."""
        if job not in self._ids:
            self._ids[job] = self._door.jobs.id_of(job, self._caller)
        return self._ids[job]

    def link(self, job: str, file: str) -> str:
        """Return the address of a result at this server."""
        return f"{self._base}jobs/{job}/result/{Path(file).name}"

    def told(self, exc: AvatarError | OSError) -> AvatarError:
        """Return what a caller of this server is told; see `Desk`."""
        return told_of(exc, PATH)


class Tools:
    """Serves the tools to callers with a key, as an ASGI app.

    They are made when they are first asked for: their packages take half a second and 25 MB of each process of the server, also
    where nobody uses an assistant.

    Args:
        door: what the routes work with.

    Raises:
        ImportError: the extra `mcp` is not installed.
    """

    def __init__(self, door: Door) -> None:
        if importlib.util.find_spec("mcp") is None:
            raise ImportError("The extra `mcp` is not installed.")
        self._door = door
        self._app: ASGIApp | None = None
        self._first = asyncio.Lock()
        self._sessions: TaskGroup | None = None
        self.route = Route(PATH, endpoint=self, methods=["POST"], include_in_schema=False)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while this lasts."""
        async with anyio.create_task_group() as self._sessions:
            try:
                yield
            finally:
                self._sessions.cancel_scope.cancel()

    async def _make(self) -> ASGIApp:
        """Make the tools, and begin to keep their sessions."""
        manager = await run_in_threadpool(self._make_manager)

        async def keep_sessions(*, task_status: TaskStatus[None]) -> None:
            async with manager.run():
                task_status.started()
                await anyio.sleep_forever()

        assert self._sessions is not None  # requests come while the app runs
        await self._sessions.start(keep_sessions)
        return manager.asgi_app

    def _make_manager(self) -> StreamableHTTPSessionManager:
        from mcp.server.transport_security import TransportSecuritySettings

        from daemon.doors.mcp.tools import build_server

        server = build_server(self._desk)
        server.streamable_http_app(  # makes the manager of sessions
            json_response=True,
            stateless_http=True,
            max_request_body_size=_MAX_BODY_BYTES,
            # The guard has looked at the host and the origin before.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        return server.session_manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of a caller who may ask."""
        headers = Headers(scope=scope)
        try:
            caller = self._door.callers.find(headers.get("authorization"), headers.get("x-api-key"), time.monotonic())
        except AvatarError as exc:
            await answer_error(exc, scope)(scope, receive, send)
            return
        scope.setdefault("state", {}).update(caller=caller.name, mcp_caller=caller)
        async with self._first:
            self._app = self._app or await self._make()
        await self._app(scope, receive, send)

    def _desk(self, ctx: Context[Any, Any]) -> ServerDesk:
        request = cast(Request, ctx.request_context.request)
        return ServerDesk(self._door, request.state.mcp_caller, str(request.base_url))
