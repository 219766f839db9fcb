"""Runs a server of Python's own library in a thread of the tests."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import TypeVar

#: How often the thread looks whether it is to end, s. Python's default is half a second, for which each test would wait.
_LOOK_S = 0.01

Server = TypeVar("Server", bound=socketserver.BaseServer)


@contextlib.contextmanager
def in_a_thread(server: Server) -> Iterator[Server]:
    """Serve until the end, and close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(_LOOK_S,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
