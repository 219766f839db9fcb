"""Bounds what a connection may send and how long it may take for that and for the answers, as the server limits neither."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from daemon.doors.http.problems import RequestError, answer_error, in_bytes
from daemon.errors import MachineError

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send
    from uvicorn._types import ASGI3Application

#: How long a client may take for the headers of a request, s.
HEADERS_S: Final = 20.0
#: Bounds of one process: connections at a time, bytes of the headers, and how long an idle connection stays, s.
MAX_CONNECTIONS: Final = 256
MAX_HEADER_BYTES: Final = 16 << 10
IDLE_S: Final = 30
#: Most requests of a connection that wait for the answer to one before them; those behind have to be sent again.
MAX_PIPELINED: Final = 32
#: The rest of a body whose request was answered before its end is read and thrown away, so long (s) and so many bytes at most.
#: Where the connection ends with the answer, no part of it is waited for longer than `REST_IDLE_S`.
REST_S: Final = 120.0
REST_BYTES: Final = 4 << 30
REST_IDLE_S: Final = 10.0
#: How long a client may read nothing of an answer, s.
UNREAD_S: Final = 300.0
#: A body is given up of which so many bytes did not come in so many seconds of waiting for them: it holds a place of an upload.
LEAST_BYTES, SLOW_S = 30 << 10, 30.0
#: How long requests have to end when the server is stopped, s.
STOP_S: Final = 10
#: How long one of several processes may answer nothing before it is ended and another one started, s. None answers before it
#: has imported what it needs: with uvicorn's own 5 s, a busy machine ended and started each for ever, and none served.
SILENT_S: Final = 60

#: In the state of a request: its answer has no end of its own, so that a server which stops does not wait for it.
ENDLESS: Final = "endless"


def server_options() -> dict[str, Any]:
    """Return how uvicorn serves the app, apart from where."""
    return {
        "http": BoundedProtocol,
        # Both are written in C: of a request's time, half is spent in the loop and the parser otherwise.
        "loop": "uvloop",
        "ws": "none",
        "timeout_keep_alive": IDLE_S,
        "timeout_graceful_shutdown": STOP_S,
        "timeout_worker_healthcheck": SILENT_S,
        "server_header": False,
        "access_log": False,  # ours has the request's id and the key's name
        "proxy_headers": False,
        "log_config": None,
    }


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with bounds of time and size for the headers of each request.

    The parser keeps what it has not understood yet: a header without end, in the head of a request or behind its body. So bytes
    that bring it to no part of a body and to no end are counted.

    It also stops at a request that asks for another protocol (`Upgrade: h2c`, as Java's client and curl's `--http2` send it with
    any request), and would take its body for that protocol. Such a request is read once more without that wish.

    A connection that ends with an answer is closed when the body of its request has been read, too: the kernel answers bytes that
    come to a closed connection with a reset, by which the client, or a proxy, loses the answer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._served = self.app
        self._pending = 0
        self._moved = self._flooded = self._in_head = False
        self._running: RequestResponseCycle | None = None
        #: Bytes that came of a body whose request was answered.
        self._rest = 0
        #: Whether only the end of what comes is awaited, before the connection ends; whether that is no HTTP.
        self._lingers = self._is_unreadable = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await(HEADERS_S)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._unset_keepalive_if_required()
        if self._lingers:
            self._throw_away(data)
            return
        if self._flooded:
            return
        self._moved = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._lingers:
            return
        self._pending = 0 if self._moved else self._pending + len(data)
        if self._pending > MAX_HEADER_BYTES and not self.transport.is_closing():
            if self._answered:
                self.send_400_response(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
            self.transport.close()  # an answer that is on its way breaks off
        if self._answered and not self.transport.is_closing():
            # An empty line before a request, or more of a body that nobody wants, begins no request and ends no waiting.
            self._await(REST_S if self._moved else HEADERS_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._stop_unread()
        self._stop_idle()
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells only the last of those that came
            self._running.disconnected = True
            self._running.message_event.set()

    def shutdown(self) -> None:
        """Begin to stop: nobody else is answered meanwhile, so that what has no end is not waited for."""
        super().shutdown()
        if self._running is not None and self._running.scope.get("state", {}).get(ENDLESS):
            self.transport.close()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._stop_unread()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Send on."""
        self._stop_unread()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is not used."""
        self._end()

    def on_message_begin(self) -> None:
        """Wait for the rest of the headers no longer than for the whole."""
        super().on_message_begin()
        self._in_head = True
        self._await(HEADERS_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What comes behind a body is none: nothing that looks at a request's headers has seen it there."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin with the request."""
        self._stop_waiting()
        self._moved, self._in_head = True, False
        if self.parser.should_upgrade() or self._lingers:  # what comes behind the last request is not done
            return
        self._rest = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self._flooded = True
            self.cycle.keep_alive = False  # the last that is answered
        if self._flooded:
            return
        busy = len(self.connections) > MAX_CONNECTIONS or len(self.tasks) >= MAX_CONNECTIONS
        self.app = _too_many if busy else self._served
        super().on_headers_complete()
        self.cycle.transport = _AnswerTransport(self, self.cycle)  # type: ignore[assignment]  # all of it that uvicorn uses

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._moved = True
        if self._answered:
            self._rest += len(body)
            if self._rest > REST_BYTES:
                self.transport.abort()
        if not self._flooded:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._moved = True
        if self.parser.should_upgrade() or self._flooded:
            return
        super().on_message_complete()
        if self._lingers:
            self.transport.close()
        elif self._answered:  # before its end
            self._stop_waiting()
            self._await(HEADERS_S)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _parse(self, data: bytes) -> None:
        """Give the parser what came.

        Raises:
            httptools.HttpParserError: it is no HTTP.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                method, version = self.parser.get_method(), self.parser.get_http_version().encode()
                if method == b"CONNECT":  # its address is no path, and nothing is behind it that is HTTP
                    raise httptools.HttpParserError("CONNECT") from exc
                headers = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
                data = b"".join(
                    (b"%s %s HTTP/%s\r\n" % (method, self.url, version), *headers, b"\r\n", data[exc.args[0] :])
                )
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            else:
                return

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request of HTTP, and close the connection."""
        error = RequestError("request-invalid", msg, "Send a request of HTTP/1.1.", headers={"Connection": "close"})
        answer = answer_error(error, {"path": ""})
        lines = [STATUS_LINE[answer.status_code], *(b"%s: %s\r\n" % header for header in answer.raw_headers), b"\r\n"]
        self.transport.write(b"".join((*lines, bytes(answer.body))))
        self._is_unreadable = True
        self.linger()
        for cycle in (self.cycle, self._running):  # whose request does not become whole any more
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def linger(self) -> None:
        """End the connection when the rest of what the client sends has come, which is thrown away, with bounds."""
        if self.transport.is_closing() or self._lingers:
            return
        self._lingers = True
        self._stop_waiting()
        self._await(HEADERS_S if self._is_unreadable else REST_S)
        self._stop_idle()
        self._idle = self.loop.call_later(REST_IDLE_S, self._end)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()  # for a client that reads an answer to the end of the connection

    def _throw_away(self, data: bytes) -> None:
        """Take a part of what nobody wants."""
        self._stop_idle()
        self._idle = self.loop.call_later(REST_IDLE_S, self._end)
        if self._is_unreadable:
            self._rest += len(data)
            if self._rest > REST_BYTES:
                self.transport.abort()
            return
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.transport.close()

    @property
    def _answered(self) -> bool:
        """Whether no answer is on its way."""
        return self.cycle is None or self.cycle.response_complete

    def _await(self, seconds: float) -> None:
        """Wait for headers, or for the end of a body, no longer than this, unless it is waited for already."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._answered or self._lingers:
            self._end()
        else:
            self._await(HEADERS_S)  # those of the next request came too early

    def _end(self) -> None:
        """Close the connection when all is sent, for which a client that reads nothing is not waited for without end."""
        if not self.transport.is_closing():
            self.transport.close()
            self._stop_unread()
            self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)


class _AnswerTransport:
    """Where the answer to a request goes: its end closes no connection on which more of the request is to come."""

    def __init__(self, protocol: BoundedProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close the connection, once the body of a request that was answered has come."""
        if self._cycle.response_complete and self._cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


class SteadyBody:
    """Receives the body of a request, and gives up one that comes too slowly. Only the time of waiting for the client counts.

    Args:
        receive: the server's.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waited = 0.0
        self._came = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            RequestError: `request-slow`.
        """
        if self._is_whole:
            return await self._receive()  # which tells of the client's end
        began = time.monotonic()
        try:
            async with asyncio.timeout(SLOW_S - self._waited):
                message = await self._receive()
        except TimeoutError as exc:
            raise self._too_slow() from exc
        self._waited += time.monotonic() - began
        self._came += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._came >= LEAST_BYTES:
            self._waited, self._came = 0.0, 0
        elif self._waited >= SLOW_S and not self._is_whole:
            raise self._too_slow()
        return message

    def _too_slow(self) -> RequestError:
        self._is_whole = True  # what comes yet is not waited for
        return RequestError(
            "request-slow",
            f"{in_bytes(self._came)} of the body came within {SLOW_S:g} s, and at least {LEAST_BYTES} are expected.",
            "Send it again, by a faster connection.",
            headers={"Connection": "close"},
        )


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in place of the app."""
    error = MachineError(
        "too-many-requests", f"{MAX_CONNECTIONS} clients are connected just now.", "Send it again in a moment."
    )
    await answer_error(error, scope)(scope, receive, send)
