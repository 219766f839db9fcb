"""Sends one message by HTTP, with every step bounded.

Python's own `http.client` does it: it follows no redirects and asks no proxy by itself, and its connection can be made to the
very address that was looked at. The larger libraries resolve the name again when they connect.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from daemon.doors.hooks.addresses import ANYWHERE, Address, is_within, resolve

#: So much of an answer is read.
ANSWER_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered. `retry_after_s`: how long it asks to wait; 0 if it does not say."""

    status: int
    text: str
    retry_after_s: float = 0.0


def post(
    url: str, headers: Mapping[str, str], body: bytes, *, allow: Sequence[str], timeout_s: float, proxy: str = ""
) -> Answer:
    """Send a message, and return the answer, whatever it says. Redirects are answers like others.

    Args:
        url: checked by `daemon.config.hooks.url_fault`.
        allow: networks that are accepted although they are private.
        timeout_s: for everything together but the resolution of the name, whose time the system's resolver bounds.
        proxy: address of an HTTP proxy that is asked unless the host lies in `allow`; empty: none. It may know names that this
            machine does not; what this machine knows to be private is refused all the same.

    Raises:
        RefusedAddressError: the host has only private addresses.
        OSError, http.client.HTTPException: it did not work.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        addresses = resolve(host, port, allow)
    except OSError:
        if not proxy:
            raise
        addresses = []
    deadline = time.monotonic() + timeout_s
    tls = ssl.create_default_context() if secure else None
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    if proxy and not any(is_within(one, allow) for one in addresses):
        asked = urlsplit(proxy)
        at, proxy_port = asked.hostname or "", asked.port or 80
        through = resolve(at, proxy_port, ANYWHERE)
        connection = _Pinned(host, port, through, tls, deadline, proxy_port)
        if not secure:
            target = f"http://{parts.netloc}{target}"
    else:
        connection = _Pinned(host, port, addresses, tls, deadline)
    with contextlib.closing(connection):
        with connection.ended_at_deadline():
            connection.request("POST", target, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
        text = b""
        # The status has come: a message that was taken is not sent again because the text behind it breaks off or has no end.
        with contextlib.suppress(OSError, http.client.HTTPException), connection.ended_at_deadline():
            text = answer.read(ANSWER_BYTES)
        return Answer(answer.status, text.decode("utf-8", "replace"), _seconds(answer.getheader("Retry-After")))


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the given addresses. The name counts for the Host header and the certificate only.

    Args:
        proxy_port: where the addresses are those of a proxy; None: they are the host's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        addresses: Sequence[Address],
        tls: ssl.SSLContext | None,
        deadline: float,
        proxy_port: int | None = None,
    ) -> None:
        super().__init__(host, port)
        self._addresses, self._tls, self._deadline, self._proxy_port = addresses, tls, deadline, proxy_port
        #: Kept beside `sock`, which is let go while the answer is still read.
        self._live: socket.socket | None = None
        self.default_port = 443 if tls else 80  # the port is left out of the Host header where it is the usual one

    def connect(self) -> None:
        """Connect to the first address that answers."""
        for number, address in enumerate(self._addresses, 1):
            left = self._left() / (2 if number < len(self._addresses) else 1)  # the next one must have its chance
            try:
                at = (str(address), self._proxy_port or self.port)
                self._live = self.sock = socket.create_connection(at, timeout=left)
                break
            except OSError:
                if number == len(self._addresses):
                    raise
        self.sock.settimeout(self._left())
        if self._tls is not None:
            if self._proxy_port is not None:
                self._open_tunnel()
            secured = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._live = self.sock = secured
            secured.do_handshake()

    def _open_tunnel(self) -> None:
        """Have the proxy connect to the host. Python's own way writes an IPv6 address without its brackets.

        Raises:
            OSError: the proxy does not do it.
        """
        at = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.sock.sendall(f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode("ascii"))
        answer = http.client.HTTPResponse(self.sock, method="CONNECT")
        try:
            answer.begin()
        finally:
            answer.close()
        if not 200 <= answer.status < 300:
            raise OSError(f"the proxy answered {answer.status} {answer.reason}".rstrip())

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    @contextlib.contextmanager
    def ended_at_deadline(self) -> Iterator[None]:
        """End the connection at the deadline: a time limit of a socket begins anew with each byte that comes.

        Raises:
            TimeoutError: it was ended.
        """
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
            late = time.monotonic() >= self._deadline
        except (OSError, http.client.HTTPException, ValueError) as exc:
            if time.monotonic() >= self._deadline:
                raise TimeoutError("timed out") from exc
            if isinstance(exc, ValueError) and not isinstance(exc, OSError | http.client.HTTPException):
                raise http.client.HTTPException(f"no valid answer ({exc})") from exc
            raise
        finally:
            timer.cancel()
        if late:
            raise TimeoutError("timed out")

    def _cut(self) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._live, socket.SHUT_RDWR)  # not TLS's own, which another thread works with


def _seconds(text: str | None) -> float:
    """Return how long `Retry-After` asks to wait, which is a number of seconds or a date; 0 where it is neither."""
    text = (text or "").strip()
    if text.isdecimal():
        return float(text) if len(text) < 8 else 0.0
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a number in it may be too large for any date
        return 0.0
    return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - time.time())
