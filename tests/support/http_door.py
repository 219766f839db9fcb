"""A client of the HTTP door that sends what it is told, and a server of it in a thread of the tests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import uvicorn

from daemon.doors.http.connections import STOP_S, server_options
from tests.support.http_description import check_described

#: Only ends a test that hangs, in s.
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Answer:
    """One answer: its status, headers by their name in small letters, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem; checks that it is one, and says whose fault it is where that is known."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        assert self.json["status"] == self.status
        assert (self.json["fault"] == "unknown") == (self.status == 500), self.body
        assert (self.json["fault"] == "machine") == (self.status > 500), self.body
        return str(self.json["code"])


@dataclass(frozen=True)
class Caller:
    """Sends requests to a server on this machine. `key`: API key, or none."""

    port: int
    key: str = ""

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own; checks that an answer in JSON is as the description says."""
        given = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {**given, **(headers or {})})
            answer = connection.getresponse()
            told = Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()
        if told.status // 100 == 2 and told.headers.get("content-type") == "application/json" and method != "HEAD":
            check_described(method, path, told.status, told.body)
        return told

    def get(self, path: str, **headers: str) -> Answer:
        """GET; headers with `_` for `-`."""
        return self.send("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})

    def post(self, path: str, value: Any = None, **headers: str) -> Answer:
        """POST a value as JSON; headers with `_` for `-`."""
        told = {"Content-Type": "application/json"} | {key.replace("_", "-"): text for key, text in headers.items()}
        return self.send("POST", path, json.dumps(value).encode(), told)

    def post_parts(self, path: str, *parts: tuple[str, str | None, bytes], **headers: str) -> Answer:
        """POST a multipart body of (name, file name or None, content)."""
        told = {"Content-Type": "multipart/form-data; boundary=XXbound"}
        told |= {key.replace("_", "-"): text for key, text in headers.items()}
        return self.send("POST", path, multipart(*parts), told)

    def with_key(self, key: str) -> Caller:
        """The same server, asked with a key."""
        return Caller(self.port, key)


def multipart(*parts: tuple[str, str | None, bytes], end: bool = True) -> bytes:
    """A multipart body with the boundary `XXbound`. `end`: whether it ends, or is cut off."""
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file is not None else ""
        body += (
            f'--XXbound\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return body + b"--XXbound--\r\n" if end else body


class _Server(uvicorn.Server):
    """Ends as soon as it is told to and its requests have ended. uvicorn itself looks for both ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end: Future[None] = Future()

    def end(self) -> None:
        """Tell it to end, from another thread."""
        self._end.set_result(None)

    async def main_loop(self) -> None:
        await self.on_tick(0)  # makes the headers of every answer
        await asyncio.wrap_future(self._end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(STOP_S):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(0.002)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[Caller]:
    """Serve an app on a port of its own until the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, **server_options()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Caller(listener.getsockname()[1])
    finally:
        server.end()
        thread.join(PATIENCE_S)
        listener.close()
