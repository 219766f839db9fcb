"""Closes connections whose headers come too slowly, as the server gives them no limit of time, and sends answers at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

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
        "ws": "none",
        "limit_concurrency": MAX_CONNECTIONS,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "timeout_keep_alive": IDLE_S,
        "timeout_graceful_shutdown": STOP_S,
        "server_header": False,
        "access_log": False,  # ours has the request's id and the key's name
        "proxy_headers": False,
        "log_config": None,
    }


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a limit of time for the headers of each request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # Head and body of an answer are two writes, and the kernel keeps the second back until the client has confirmed the first
        # (40 ms). asyncio turns that off only where it made the listening socket itself.
        with contextlib.suppress(OSError):  # no TCP
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for the rest of the headers no longer than for the whole."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
