"""Receives webhooks on this machine, and answers as a test says."""

from __future__ import annotations

import contextlib
import http.server
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.machine.threaded_server import in_a_thread


@dataclass
class Received:
    """A request that came. `headers`: names in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server on a port of loopback.

    Args:
        answer: gets the number of the request, from 0, and returns status, headers and body of the answer.

    Attributes:
        connections: how many were made.
    """

    answer: Callable[[int], tuple[int, dict[str, str], bytes]] = lambda number: (204, {}, b"")
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                number = len(receiver.received)
                receiver.received.append(
                    Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                status, headers, content = receiver.answer(number)
                with contextlib.suppress(OSError):  # who asked has gone
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/in"
        self._running = contextlib.ExitStack()
        self._running.enter_context(in_a_thread(self.server))

    def close(self) -> None:
        """Listen no more."""
        self._running.close()
