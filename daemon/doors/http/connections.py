"""Bounds what a connection may send and how long its headers may take, as the server gives them neither limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from daemon.doors.http.problems import RequestError, answer_error
from daemon.errors import MachineError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

#: How long a client may take for the headers of a request, s.
HEADERS_S: Final = 20.0
#: Bounds of one process: connections at a time, bytes of the headers, and how long an idle connection stays, s.
MAX_CONNECTIONS: Final = 256
MAX_HEADER_BYTES: Final = 16 << 10
IDLE_S: Final = 30
#: How long requests have to end when the server is stopped, s.
STOP_S: Final = 10


def server_options() -> dict[str, Any]:
    """Return how uvicorn serves the app, apart from where."""
    return {
        "http": BoundedProtocol,
        # Both are written in C: of a request's time, half is spent in the loop and the parser otherwise.
        "loop": "uvloop",
        "ws": "none",
        "timeout_keep_alive": IDLE_S,
        "timeout_graceful_shutdown": STOP_S,
        "server_header": False,
        "access_log": False,  # ours has the request's id and the key's name
        "proxy_headers": False,
        "log_config": None,
    }


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with bounds of time and size for the headers of each request.

    The parser keeps what it has not understood yet: a header without end, in the head of a request or behind its body. So bytes
    that bring it to no part of a body and to no end are counted.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._served = self.app
        self._pending = 0
        self._moved = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._moved = False
        super().data_received(data)
        self._pending = 0 if self._moved else self._pending + len(data)
        if self._pending > MAX_HEADER_BYTES and not self.transport.is_closing():
            if self._answered:
                self.send_400_response(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
            self.transport.close()  # an answer that is on its way breaks off

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the rest of the headers no longer than for the whole."""
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        """Begin with the request."""
        self._stop_waiting()
        self._moved = True
        busy = len(self.connections) > MAX_CONNECTIONS or len(self.tasks) >= MAX_CONNECTIONS
        self.app = _too_many if busy else self._served
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._moved = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request of HTTP, and close the connection."""
        error = RequestError("request-invalid", msg, "Send a request of HTTP/1.1.", headers={"Connection": "close"})
        answer = answer_error(error, {"path": ""})
        lines = [STATUS_LINE[answer.status_code], *(b"%s: %s\r\n" % header for header in answer.raw_headers), b"\r\n"]
        self.transport.write(b"".join((*lines, bytes(answer.body))))
        self.transport.close()

    @property
    def _answered(self) -> bool:
        """Whether no answer is on its way."""
        return self.cycle is None or self.cycle.response_complete

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._answered:
            self.transport.close()
        else:
            self._await_headers()  # those of the next request came too early


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in place of the app."""
    error = MachineError(
        "too-many-requests", f"{MAX_CONNECTIONS} clients are connected just now.", "Send it again in a moment."
    )
    await answer_error(error, scope)(scope, receive, send)
