"""Runs an HTTP server in its own thread, with limits on number and duration of connections.

Tornado reads and writes the requests, and closes connections whose headers or body do not come in time. What it leaves to others
is here: a bound on connections, the end of clients that do not read, and a pause where the process has no descriptor left. So
whoever may connect can use up neither the daemon's descriptors nor its memory (docs/operations.md, "Seen from outside").
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import threading

import structlog
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application

log = structlog.get_logger()

#: Most connections at once. Few beside the 256 descriptors that some systems allow; monitoring needs two or three.
CONNECTIONS = 32
#: How long a client may take for its headers, for a body, to read what it asked for, or between two requests, in s. More than
#: the 15 s after which Prometheus usually asks again, so that it need not connect anew.
PATIENCE_S = 20.0
#: How long no connection is accepted after the process had no descriptor or memory for one, in s.
REST_S = 0.5
#: Longest headers, and longest body, of a request in bytes: nobody has a reason to send a body at all.
HEADER_BYTES, BODY_BYTES = 16_384, 1024

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ServerThread:
    """Serves an application from its own thread and event loop, so that it responds while the daemon's loop is blocked.

    Args:
        port: 0 for any free one.
        connections: most at once; at one more, the one that has been open longest is closed.
        patience_s: how long a client may take for its headers, for a body, to read, or between two requests.

    Raises:
        OSError: the address cannot be used.
    """

    def __init__(
        self,
        application: Application,
        host: str,
        port: int,
        *,
        connections: int = CONNECTIONS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        # Both write a line for each odd request, and strangers may send as many as they like.
        logging.getLogger("tornado.general").setLevel(logging.ERROR)
        logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
        self._application, self._max_connections, self._patience_s = application, connections, patience_s
        self._sockets = bind_sockets(port, host)
        self.port = int(self._sockets[0].getsockname()[1])
        self._streams: list[IOStream] = []
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = HTTPServer(
            self._application,
            idle_connection_timeout=self._patience_s,
            body_timeout=self._patience_s,
            max_header_size=HEADER_BYTES,
            max_body_size=BODY_BYTES,
        )
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening, server)
        await self._end.wait()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        await server.close_all_connections()

    # -- connections ---------------------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket, server: HTTPServer) -> None:
        try:
            connection, address = listening.accept()
        except OSError as exc:
            if exc.errno in _EXHAUSTED:
                self._stop_accepting(listening, server, exc)
            return  # else the client has gone again
        # The kernel ends what is not read, which Tornado would wait for without end.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(self._patience_s * 1000))
        stream = IOStream(connection, max_buffer_size=HEADER_BYTES + BODY_BYTES, read_chunk_size=HEADER_BYTES // 4)
        self._make_room()
        self._streams.append(stream)
        server.handle_stream(stream, address)

    def _make_room(self) -> None:
        """Close the oldest connections if there are too many, so that half-open ones do not block new ones."""
        self._streams = [stream for stream in self._streams if not stream.closed()]
        while len(self._streams) >= self._max_connections:
            self._streams.pop(0).close()

    def _stop_accepting(self, listening: socket.socket, server: HTTPServer, exc: OSError) -> None:
        """Stop accepting for `REST_S` seconds; otherwise the pending connection would wake the loop again at once."""
        if not self._warned:
            self._warned = True
            log.warning("metrics: a connection could not be accepted", error=str(exc))
        self._loop.remove_reader(listening)
        self._loop.call_later(REST_S, self._accept_again, listening, server)

    def _accept_again(self, listening: socket.socket, server: HTTPServer) -> None:
        if not self._end.is_set():
            self._loop.add_reader(listening, self._accept, listening, server)
