"""Looks at every request before it is routed: which host it names, from which site it comes, how its body is coded.

A page of another site that a user has open can send requests to this machine. So the host must be one that this server is called
by (DNS rebinding), and whatever changes something must not come from another site's page. HEAD is answered for every route that
answers GET, by the same answer without its body.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import Headers

from daemon.doors.http.connections import SteadyBody
from daemon.doors.http.problems import RequestError, answer_error
from daemon.errors import MachineError, escape_unprintable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

#: Most bytes of all headers of a request.
MAX_HEADER_BYTES = 32 << 10
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What may come more than once in a query; of anything else it could not be told which is meant.
LISTS: Final = frozenset({"state", "kind", "tag"})
#: Headers that say how a body is coded, and what of that is read.
_UNCODED: Final = {"content-encoding": "identity", "transfer-encoding": "chunked"}
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: What every answer carries: nothing that users sent is ever taken for a page.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


def host_name(host: str) -> str:
    """Return the name in a Host header, in small letters and without its port; empty where it is none."""
    found = _HOST.fullmatch(host)
    return found["name"].lower().rstrip(".") if found else ""


def _codings(headers: Headers) -> list[str]:
    """Return how a body is compressed or coded otherwise, in small letters; nothing where it comes as it is."""
    given = {name: ",".join(headers.getlist(name)).lower().split(",") for name in _UNCODED}
    return [one for name, words in given.items() for word in words if (one := word.strip()) not in ("", _UNCODED[name])]


class Guard:
    """Refuses what must not reach a route, gives every request an id, and writes the access log.

    Args:
        app: what is guarded.
        hosts: names by which clients may call the server.
        seen: called after each request with its method, route, status, seconds, and the code of its error.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], seen: Callable[[str, str, int, float, str], None] = lambda *_: None
    ) -> None:
        self._app = HeadAsGet(app)
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if (error := self._refusal(scope["method"], headers, scope.get("query_string", b""))) is not None:
                await answer_error(error, scope)(scope, receive, answer)
            else:
                await self._app(scope, SteadyBody(receive), answer)
        except asyncio.CancelledError:  # the server is stopped, and waits no longer for what is not ended
            if not status:
                stopped = MachineError("server-stopping", "The server is being stopped.", "Send it again in a moment.")
                await answer_error(stopped, scope)(scope, receive, answer)
        finally:
            self._tell(scope, status, time.monotonic() - started, request_id)

    def _refusal(self, method: str, headers: Headers, query: bytes) -> RequestError | None:
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
            return RequestError(
                "headers-too-large", f"The headers have more than {MAX_HEADER_BYTES} bytes.", "Send fewer."
            )
        hosts = headers.getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._hosts:
            return RequestError(
                "host-unknown",
                f"This server is not called {escape_unprintable(', '.join(hosts)[:80]) or 'by no name'}.",
                "Call it by a name that it knows; whoever runs it adds others to `server.hosts`.",
            )
        given = Counter(key for key, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        if twice := [key for key, times in given.items() if times > 1 and key not in LISTS]:
            return RequestError(
                "query-invalid", f"{escape_unprintable(twice[0][:40])} comes twice in the query.", "Send it once."
            )
        if method in SAFE_METHODS:
            return None
        if codings := _codings(headers):
            return RequestError(
                "media-type",
                f"The body is coded ({escape_unprintable(', '.join(codings)[:40])}), and is only read as it is.",
                "Send it without Content-Encoding, and with no Transfer-Encoding but chunked.",
                headers={"Accept-Encoding": "identity"},
            )
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        if site is not None:
            foreign = site not in ("same-origin", "none")
        elif origin is not None:
            foreign = origin.lower() not in {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        else:
            foreign = False  # no browser
        if not foreign:
            return None
        return RequestError(
            "cross-site",
            "This request comes from the page of another site.",
            "Send it from a program, or from a page of this server.",
        )

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "")
        code = scope.get("state", {}).get("code", "")
        self._seen(scope["method"], route, status, seconds, code)
        log.info(
            "request",
            method=scope["method"],
            path=escape_unprintable(scope["path"]),
            status=status,
            seconds=round(seconds, 4),
            request_id=request_id,
            code=code,
            key=scope.get("state", {}).get("caller", ""),
        )


class HeadAsGet:
    """Answers HEAD as GET without the body, of which nothing is made that need not be: a stream is ended at its first part.

    Args:
        app: what answers GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope.get("method") != "HEAD":  # the start and end of the app have none
            await self._app(scope, receive, send)
            return
        ended = asyncio.Event()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended.is_set():
                await send({"type": "http.response.body", "body": b""})
                ended.set()

        # What HEAD of a range would be is not defined (RFC 9110, 14.2).
        headers = [one for one in scope["headers"] if one[0] not in (b"range", b"if-range")]
        asked = {**scope, "method": "GET", "headers": headers}
        served = asyncio.ensure_future(self._app(asked, receive, answer))
        enough = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait({served, enough}, return_when=asyncio.FIRST_COMPLETED)
            if served.done():
                await served  # for its error
        finally:
            for task in (served, enough):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await served
            scope["route"] = asked.get("route")
